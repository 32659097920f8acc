import { fstatSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';
import { isatty } from 'node:tty';

import { errnoOf } from '../../system/errno.ts';

/**
 * Resolves when the stream has taken these bytes and all before them, or has failed: the owner of the stream handles
 * its errors.
 */
export function write(stream: Writable, bytes: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableEnded) resolve();
    else stream.write(bytes, () => resolve());
  });
}

/** Resolves when everything written before has left the stream. */
export function written(stream: Writable): Promise<void> {
  return write(stream, '');
}

/** Writes all of the bytes. One call may write only a part when the disk is nearly full, or nothing to a full pipe. */
export function writeWhole(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.byteLength;) {
    try {
      done += writeSync(descriptor, bytes, done);
    } catch (error) {
      if (errnoOf(error) !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
    }
  }
}

const retryMs = 5;

const standardOutput = 1;

/**
 * The standard output of the process. Node's stream does not notice that only a part was written to a file, as on a
 * full disk, so files get a stream of ours.
 */
export function openStandardOutput(): Writable & { readonly isTTY?: boolean } {
  const stats = fstatSync(standardOutput);
  if (!stats.isFile() && (!stats.isCharacterDevice() || isatty(standardOutput))) return process.stdout;
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      try {
        writeWhole(standardOutput, chunk);
        done();
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    },
  });
}
