import { fstatSync } from 'node:fs';
import { Writable } from 'node:stream';
import { isatty } from 'node:tty';

import { writeWhole } from './write.ts';

const descriptor = 1;

/**
 * The standard output of the process. Node's own stream takes a write to a file that was cut short, by a full disk or a
 * limit, for a whole one: files have a stream of ours.
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
