import { open } from 'node:fs/promises';

import { defaultLimits, ImageError, show } from '../../index.ts';
import { usageError } from '../options/usage-error.ts';

/** The bytes of a key file. @throws USAGE for a URL; FILE_NOT_FOUND, FILE_UNREADABLE, LIMIT_EXCEEDED */
export async function readKeyFile(path: string): Promise<Uint8Array> {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(path)) {
    throw usageError(`"${show(path)}" is not a file: download the key, compare its fingerprint, and name the file`);
  }
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    if (size > defaultLimits.key) {
      const details = { limit: 'key', maximum: defaultLimits.key };
      throw new ImageError('LIMIT_EXCEEDED', `a key file of ${size} bytes is over the limit`, details);
    }
    const { buffer, bytesRead } = await file.read(new Uint8Array(defaultLimits.key), 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    const code = error instanceof Error && 'syscall' in error && 'code' in error ? String(error.code) : undefined;
    if (code === undefined) throw error;
    if (code === 'ENOENT') throw new ImageError('FILE_NOT_FOUND', 'there is no such file', { path }, { cause: error });
    throw new ImageError('FILE_UNREADABLE', `cannot be read: ${code}`, { path }, { cause: error });
  }
}
