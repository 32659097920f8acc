import { createHash } from 'node:crypto';

import { overLimit } from '../tar/refuse.ts';

/** Gathers small pieces into large ones, which it hashes while they are written. */
export type TarOutput = {
  put(bytes: Uint8Array): Promise<void>;
  /** @param read - fills the start of a buffer that is never empty. @returns how many bytes it gave, at least 1 */
  fill(bytes: number, read: (into: Buffer, done: number) => number): Promise<void>;
  /** Nothing more comes. */
  end(): Promise<{ readonly hex: string; readonly size: number }>;
};

const bufferBytes = 1024 * 1024;

/** @returns calls throw LIMIT_EXCEEDED, and what `write` throws. */
export function createTarOutput(maximum: number, write: (chunk: Uint8Array) => Promise<void>): TarOutput {
  const hash = createHash('sha512');
  let [buffer, other] = [Buffer.allocUnsafeSlow(bufferBytes), Buffer.allocUnsafeSlow(bufferBytes)];
  let filled = 0;
  let size = 0;
  let written = Promise.resolve();

  const flush = async (): Promise<void> => {
    await written;
    size += filled;
    if (size > maximum) throw overLimit('unpacked', maximum, 'the image is too large');
    const chunk = buffer.subarray(0, filled);
    written = write(chunk);
    written.catch(() => undefined); // whoever awaits it next hears of it
    hash.update(chunk);
    [buffer, other] = [other, buffer];
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
      await written;
      return { hex: hash.digest('hex'), size };
    },
  };
}
