import { access, constants, copyFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { hasCode, ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { errnoOf, systemFailure } from '../system/errno.ts';
import { stampText } from '../system/files.ts';
import { emptyReader, openReader, type Reader } from './index/reader.ts';
import { storeError } from './store-error.ts';

/** How often a copy is tried again because the index changed meanwhile. */
const copies = 5;

/**
 * Opens the index of a store that this process perhaps cannot write to, or whose disk is full. A store that does not
 * exist yet is empty.
 *
 * @throws STORE_VERSION, STORE_CORRUPT, STORE_BUSY, FILE_UNREADABLE
 */
export async function openReadOnly(path: string): Promise<Reader> {
  if (!(await isReadable(path))) return emptyReader;
  try {
    return await openReader(path, path);
  } catch (error) {
    // A reader also needs the shared memory of a write-ahead log, a file next to the index.
    if (!hasCode(error, 'STORE_READ_ONLY') && !hasCode(error, 'STORE_FULL')) throw error;
  }
  if ((await stampAt(`${path}-wal`)) !== '') return openCopy(path);
  const url = pathToFileURL(path);
  url.searchParams.set('immutable', '1'); // SQLite then ignores the log, which is empty
  return openReader(url, path);
}

/** False when the index does not exist or is empty. */
async function isReadable(path: string): Promise<boolean> {
  try {
    await access(path, constants.R_OK);
    return (await stat(path)).size > 0;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw unreadable(error, path);
  }
}

/** Errors are reported as for writers, except that here it is reading that is not permitted. */
function unreadable(error: unknown, path: string): unknown {
  if (systemFailure(error)?.cause !== 'denied') return storeError(error, path);
  return new ImageError('FILE_UNREADABLE', `${show(path, 1024)} cannot be read`, { path }, { cause: error });
}

/** Copies the index and its log, in the same state, to a private directory. */
async function openCopy(path: string): Promise<Reader> {
  const directory = await mkdtemp(join(tmpdir(), 'longshore-'));
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  const copy = join(directory, 'index.sqlite');
  try {
    await copyUnchanged(path, copy);
    const reader = await openReader(copy, path);
    return { ...reader, close: () => reader.close().then(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function copyUnchanged(path: string, to: string): Promise<void> {
  const stamp = async (): Promise<string> => (await stampAt(path)) + (await stampAt(`${path}-wal`));
  for (let count = 0; count < copies; count += 1) {
    const before = await stamp();
    await copyFile(path, to);
    await copyFile(`${path}-wal`, `${to}-wal`);
    if ((await stamp()) === before) return;
  }
  throw new ImageError('STORE_BUSY', `${show(path, 1024)} changes all the time: try again`, { path });
}

/** Identifies the state of a file; empty when it is empty or does not exist. */
async function stampAt(path: string): Promise<string> {
  try {
    const found = await stat(path, { bigint: true });
    return found.size === 0n ? '' : `${stampText(found)};`;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  }
}
