import { open } from 'node:fs/promises';

import { ImageError } from '../../index.ts';

/** The bytes of a key file. @throws FILE_NOT_FOUND, FILE_UNREADABLE, LIMIT_EXCEEDED */
export async function readKeyFile(path: string, maximum: number): Promise<Uint8Array> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    if (size > maximum) {
      const details = { limit: 'key', maximum };
      throw new ImageError('LIMIT_EXCEEDED', `a key file of ${size} bytes is over the limit`, details);
    }
    const { buffer, bytesRead } = await file.read(new Uint8Array(maximum), 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    const code = error instanceof Error && 'syscall' in error && 'code' in error ? String(error.code) : undefined;
    if (code === undefined) throw error;
    if (code === 'ENOENT') throw new ImageError('FILE_NOT_FOUND', 'there is no such file', { path }, { cause: error });
    throw new ImageError('FILE_UNREADABLE', `cannot be read: ${code}`, { path }, { cause: error });
  }
}
