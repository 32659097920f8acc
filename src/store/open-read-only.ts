import { access, constants, copyFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { hasCode, ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { errnoOf, systemFailure } from '../system/errno.ts';
import { openReader, emptyReader, type Reader } from './index/reader.ts';
import { storeError } from './store-error.ts';

/** How often a copy is begun again because the index changed meanwhile. */
const copies = 5;

/**
 * Opens the index of a store that this process may not be able to write to, or whose disk is full. A store that is not
 * there yet is empty.
 *
 * @throws STORE_VERSION, STORE_CORRUPT, STORE_BUSY, FILE_UNREADABLE
 */
export async function openReadOnly(path: string): Promise<Reader> {
  if (!(await isReadable(path))) return emptyReader;
  try {
    return await openReader(path, path);
  } catch (error) {
    // Readers, too, need the memory that all users of a write-ahead log share: a file beside the index.
    if (!hasCode(error, 'STORE_READ_ONLY') && !hasCode(error, 'STORE_FULL')) throw error;
  }
  if ((await stampOf(`${path}-wal`)) !== '') return openCopy(path);
  const url = pathToFileURL(path);
  url.searchParams.set('immutable', '1'); // the log would not be looked at, but there is nothing in it
  return openReader(url, path);
}

/** False when there is no index, or an empty one. */
async function isReadable(path: string): Promise<boolean> {
  try {
    await access(path, constants.R_OK);
    return (await stat(path)).size > 0;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw unreadable(error, path);
  }
}

/** What the system says of the path is told as it is told to writers; what is not allowed here is to read. */
function unreadable(error: unknown, path: string): unknown {
  if (systemFailure(error)?.cause !== 'denied') return storeError(error, path);
  return new ImageError('FILE_UNREADABLE', `${show(path, 1024)} cannot be read`, { path }, { cause: error });
}

/** The index and its log as they are together at one moment, in a directory of our own. */
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
  const stamp = async (): Promise<string> => (await stampOf(path)) + (await stampOf(`${path}-wal`));
  for (let count = 0; count < copies; count += 1) {
    const before = await stamp();
    await copyFile(path, to);
    await copyFile(`${path}-wal`, `${to}-wal`);
    if ((await stamp()) === before) return;
  }
  throw new ImageError('STORE_BUSY', `${show(path, 1024)} changes all the time: try again`, { path });
}

/** Empty for a file that is empty or not there. */
async function stampOf(path: string): Promise<string> {
  try {
    const { size, mtimeNs, ino } = await stat(path, { bigint: true });
    return size === 0n ? '' : `${size} ${mtimeNs} ${ino};`;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  }
}
