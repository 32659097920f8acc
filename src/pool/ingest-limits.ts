import type { Limits } from '../image/limits.ts';
import type { IngestLimits } from '../../workers/tasks.ts';

/** The limits that concern a worker, by the names it has for them. */
export function ingestLimits(limits: Limits): IngestLimits {
  return {
    archiveBytes: limits.archive,
    unpackedBytes: limits.unpacked,
    manifestBytes: limits.manifest,
    headerBytes: limits.header,
    entries: limits.entries,
    pathBytes: limits.path,
    dependencies: limits.dependencies,
    signatures: limits.signatures,
  };
}
