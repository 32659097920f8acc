import type { Writable } from 'node:stream';

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
