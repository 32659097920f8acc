/**
 * What an image does at a time, in the order of its life. `wait`: for its turn or its place; `resolve`: otherwise until the
 * first byte; `download`: from there to the last byte, ingest follows along; `verify`: what was left of ingest then, and the
 * checks; `commit`: until the store has it; `needs`: its own work is done, what it depends on is awaited.
 */
export const phases = ['wait', 'resolve', 'download', 'verify', 'commit', 'needs'] as const;
export type Phase = (typeof phases)[number];

/** How an image ended; `open`: the run was over before it had. */
export const statuses = ['fetched', 'present', 'failed', 'blocked', 'cancelled', 'open'] as const;
export type Status = (typeof statuses)[number];

/** Marks that tell states apart without colour. */
export const statusMarks: Readonly<Record<Status, string>> = {
  fetched: '✓',
  present: '=',
  failed: '✕',
  blocked: '⊘',
  cancelled: '–',
  open: '?',
};
