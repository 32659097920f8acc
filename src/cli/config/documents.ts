import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { errnoOf } from '../../system/errno.ts';
import { readFound } from '../../system/files.ts';
import { ImageError, show } from '../../index.ts';

/** Far above any configuration; a file beyond it is not one. */
const maxBytes = 1024 * 1024;

export type ConfigDocument = { readonly path: string; readonly bytes: Uint8Array };

/**
 * The `.json` files directly inside `directory`, in lexical order; symlinks to files and to the directory are followed.
 * A missing directory holds none.
 *
 * @throws CONFIG_INVALID
 */
export async function readDocuments(directory: string): Promise<readonly ConfigDocument[]> {
  const documents: ConfigDocument[] = [];
  for (const name of (await list(directory)).toSorted()) {
    if (!name.endsWith('.json')) continue;
    const path = join(directory, name);
    const bytes = await readDocument(path, maxBytes);
    if (bytes) documents.push({ path, bytes });
  }
  return documents;
}

async function list(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return [];
    throw configError(directory, code === 'ENOTDIR' ? 'expected to be a directory' : `cannot be read: ${code}`, error);
  }
}

/** @returns undefined for what is no regular file. @throws CONFIG_INVALID */
export async function readDocument(path: string, maximum: number): Promise<Uint8Array | undefined> {
  try {
    const bytes = await readFound(path, maximum);
    if (bytes.length > maximum) throw configError(path, `is larger than ${maximum} bytes`);
    return bytes;
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'EFTYPE' || code === 'EISDIR') return undefined;
    if (code === undefined) throw error;
    throw configError(path, `cannot be read: ${code}`, error);
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'syscall' in error && 'code' in error ? String(error.code) : undefined;
}

/** @param what - said of the file, after its name. */
export function configError(path: string, what: string, cause?: unknown): ImageError<'CONFIG_INVALID'> {
  return new ImageError(
    'CONFIG_INVALID',
    `"${show(path, 1000)}": ${what}`,
    { path },
    cause === undefined ? {} : { cause },
  );
}
