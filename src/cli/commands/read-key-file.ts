import { ImageError } from '../../index.ts';
import { systemFailure } from '../../system/errno.ts';
import { readNamed } from '../../system/files.ts';

/** The bytes of a key file. @throws FILE_NOT_FOUND, FILE_UNREADABLE, LIMIT_EXCEEDED */
export async function readKeyFile(path: string, maximum: number): Promise<Uint8Array> {
  try {
    const bytes = await readNamed(path, maximum);
    if (bytes.length <= maximum) return bytes;
    const details = { limit: 'key', maximum };
    throw new ImageError('LIMIT_EXCEEDED', `a key file of more than ${maximum} bytes is over the limit`, details);
  } catch (error) {
    const failure = systemFailure(error);
    if (!failure) throw error;
    if (failure.errno === 'ENOENT')
      throw new ImageError('FILE_NOT_FOUND', 'there is no such file', { path }, { cause: error });
    throw new ImageError('FILE_UNREADABLE', `cannot be read: ${failure.what}`, { path }, { cause: error });
  }
}
