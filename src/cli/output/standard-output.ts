import { fstatSync } from 'node:fs';
import { Writable } from 'node:stream';
import { isatty } from 'node:tty';

import { writeWhole } from './write.ts';

const descriptor = 1;

/**
 * The standard output of the process. Node's stream does not notice that only a part was written to a file, as on a
 * full disk, so files get a stream of ours.
 */
export function openStandardOutput(): Writable & { readonly isTTY?: boolean } {
  const stats = fstatSync(descriptor);
  if (!stats.isFile() && (!stats.isCharacterDevice() || isatty(descriptor))) return process.stdout;
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      try {
        writeWhole(descriptor, chunk);
        done();
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    },
  });
}
