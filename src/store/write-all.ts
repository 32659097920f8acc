import type { FileHandle } from 'node:fs/promises';

/**
 * Writes chunks one after the other, from `position` on. One call may write only a part of them.
 *
 * @param onWritten - gets the number of bytes of each call, also when a later call fails.
 */
export async function writeAll(
  file: Pick<FileHandle, 'writev'>,
  chunks: readonly Uint8Array[],
  position: number,
  onWritten: (bytes: number) => void,
): Promise<void> {
  let rest = chunks.filter((chunk) => chunk.byteLength > 0);
  while (rest.length > 0) {
    const { bytesWritten } = await file.writev(rest, position);
    if (bytesWritten === 0) throw new Error('a write took nothing');
    onWritten(bytesWritten);
    position += bytesWritten;
    rest = dropBytes(rest, bytesWritten);
  }
}

function dropBytes(chunks: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  return chunks.flatMap((chunk) => {
    const dropped = Math.min(left, chunk.byteLength);
    left -= dropped;
    return dropped === chunk.byteLength ? [] : [chunk.subarray(dropped)];
  });
}
