import { writeSync } from 'node:fs';
import type { Writable } from 'node:stream';

import { errnoOf } from '../../system/errno.ts';

/** Writes, and resolves when the stream has taken it and all before it, or is gone: its errors are its owner's affair. */
export function write(stream: Writable, bytes: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableEnded) resolve();
    else stream.write(bytes, () => resolve());
  });
}

/** Resolves when all that was written so far has left the stream. */
export function written(stream: Writable): Promise<void> {
  return write(stream, '');
}

/** All of the bytes: one call may write a part of them, as it does where the disk is nearly full, or none to a pipe that is. */
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
