/**
 * What an image does at a time, in the order of its life. `wait`: for its turn or its place; `resolve`: otherwise until the
 * first byte, so discovery, signature and the answer; `download`: from there to the last byte, ingest follows along;
 * `verify`: what was left of ingest then, and the checks; `commit`: until the store has it; `needs`: its own work is done, what
 * it depends on is awaited. What is fetched ahead in a tree is told of once it is wanted, so its phases look shorter.
 */
export const phases = ['wait', 'resolve', 'download', 'verify', 'commit', 'needs'] as const;
export type Phase = (typeof phases)[number];
