import { defaultLimits } from '../../../src/image/limits.ts';
import { type CheckerLimits, createArchiveChecker } from '../../../workers/tar/tar-checker.ts';

export const checkerLimits: CheckerLimits = {
  manifestBytes: defaultLimits.manifest,
  headerBytes: defaultLimits.header,
  entries: defaultLimits.entries,
  pathBytes: defaultLimits.path,
};

/** Runs the checker over a whole tar in chunks of that many bytes. @returns the manifest's text. */
export function check(tar: Uint8Array, limits: Partial<CheckerLimits> = {}, chunkBytes = 65_536): string {
  const checker = createArchiveChecker({ ...checkerLimits, ...limits }, (bytes) => bytes.toString('utf8'));
  for (let at = 0; at < tar.length; at += chunkBytes) checker.push(tar.subarray(at, at + chunkBytes));
  return checker.end();
}
