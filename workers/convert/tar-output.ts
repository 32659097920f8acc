import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';

import type { Write } from '../output.ts';
import { overLimit } from '../tar/refuse.ts';

/** Gathers small pieces into large ones, which it hashes and writes. */
export type TarOutput = {
  put(bytes: Uint8Array): Promise<void>;
  /** @param read - fills the start of a buffer that is never empty. @returns how many bytes it gave, at least 1 */
  fill(bytes: number, read: (into: Buffer, done: number) => number): Promise<void>;
  /** Nothing more comes. */
  end(): Promise<{ readonly hex: string; readonly size: number }>;
};

const bufferBytes = 1024 * 1024;

/** @returns calls throw LIMIT_EXCEEDED, and what `write` throws. */
export function createTarOutput(maximum: number, write: Write): TarOutput {
  const hash = createHash('sha512');
  const buffer = Buffer.allocUnsafeSlow(bufferBytes);
  let filled = 0;
  let size = 0;

  const flush = async (): Promise<void> => {
    size += filled;
    if (size > maximum) throw overLimit('unpacked', maximum, 'the image is too large');
    const chunk = buffer.subarray(0, filled);
    hash.update(chunk);
    write(chunk);
    await turn(); // whoever else works in this thread
    filled = 0;
  };

  const fill: TarOutput['fill'] = async (bytes, read) => {
    for (let done = 0; done < bytes;) {
      if (filled === bufferBytes) await flush();
      const used = read(buffer.subarray(filled, filled + bytes - done), done);
      filled += used;
      done += used;
    }
  };

  return {
    fill,
    async put(bytes) {
      const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      await fill(bytes.length, (into, done) => source.copy(into, 0, done));
    },
    async end() {
      await flush();
      return { hex: hash.digest('hex'), size };
    },
  };
}
