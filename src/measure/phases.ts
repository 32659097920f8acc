/**
 * The phases of an image, in order. `wait`: for its turn or its slot. `resolve`: after that until the first byte, so
 * discovery, signature and the answer. `download`: until the last byte, while the ingest follows. `verify`: the rest of
 * the ingest, and the checks. `commit`: until the image is in the store. `needs`: its own work is done, and its
 * dependencies are awaited. Events of a prefetch are reported only when it is needed, so its phases look shorter.
 */
export const phases = ['wait', 'resolve', 'download', 'verify', 'commit', 'needs'] as const;
export type Phase = (typeof phases)[number];
