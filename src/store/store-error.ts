import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';

import { ImageError, isImageError } from '../errors.ts';
import { storeFileError } from '../image/file-error.ts';
import { show } from '../image/show.ts';
import { isFileSizeLimited, spareFiles } from '../system/spare-files.ts';

type StoreCode = 'STORE_BUSY' | 'STORE_CORRUPT' | 'STORE_FULL' | 'STORE_READ_ONLY';
type Meaning = { readonly code: StoreCode; readonly what: string };

const full: Meaning = { code: 'STORE_FULL', what: 'no space left on device' };
const readOnly: Meaning = { code: 'STORE_READ_ONLY', what: 'it cannot be written' };
const failing: Meaning = { code: 'STORE_CORRUPT', what: 'the disk failed' };
const damaged: Meaning = {
  code: 'STORE_CORRUPT',
  what: 'the index is damaged: repair with "longshore image verify --repair"',
};

const SQLITE_BUSY = 5;
const SQLITE_CANTOPEN = 14;
/**
 * An index needs at most four files. The margin is needed since a failed attempt has closed its files before we count,
 * and since other threads open and close files at the same time.
 */
const fewFiles = 16;

/** Primary result codes. @see https://www.sqlite.org/rescode.html */
const byResult: ReadonlyMap<number, Meaning> = new Map([
  [3 /* PERM */, readOnly],
  [SQLITE_BUSY, { code: 'STORE_BUSY', what: 'other processes kept it locked for 10 s: try again' }],
  [8 /* READONLY */, readOnly],
  [10 /* IOERR */, failing],
  [11 /* CORRUPT */, damaged],
  [13 /* FULL */, full],
  [SQLITE_CANTOPEN, readOnly],
  [26 /* NOTADB */, damaged],
]);

/** SQLITE_IOERR_SHMSIZE: no room for the memory that the users of the index share. */
const sharedMemorySize = 4874;
/** Errors that happen when a file grows: SQLITE_IOERR_WRITE, SQLITE_IOERR_TRUNCATE, and SQLITE_IOERR_SHMSIZE. */
const growing: ReadonlySet<number> = new Set([778, 1546, sharedMemorySize]);

/**
 * Converts a failure of the store to an ImageError with a STORE_ code. Other errors are bugs and returned unchanged.
 *
 * @param path - of the file in use, for errors that do not have one.
 */
export function storeError(error: unknown, path: string): unknown {
  if (isImageError(error)) return error;
  const where = error instanceof Error && 'path' in error && typeof error.path === 'string' ? error.path : path;
  const result = sqliteResult(error);
  if (result === undefined) return isBeyondNumbers(error) ? damagedIndex(path, error) : storeFileError(error, where);
  const unreported = unreportedErrno(result, where);
  if (unreported)
    return storeFileError(Object.assign(new Error('as SQLite had it', { cause: error }), unreported), where);
  const meaning = result === sharedMemorySize ? full : byResult.get(result & 0xff);
  if (!meaning) return isForeignSchema(error) ? foreignIndex(path, error) : error;
  return new ImageError(meaning.code, `${show(where, 1024)}: ${meaning.what}`, { path: where }, { cause: error });
}

/** Finds the errno that SQLite does not report, from the limits of this process and of the disk. */
function unreportedErrno(result: number, path: string): { readonly code: string } | undefined {
  if ((result & 0xff) === SQLITE_CANTOPEN && spareFiles() < fewFiles) return { code: 'EMFILE' };
  if ((result & 0xff) === SQLITE_CANTOPEN && takesNoFile(path)) return { code: 'ENOSPC' };
  return growing.has(result) && isFileSizeLimited() ? { code: 'EFBIG' } : undefined;
}

/** Whether the file system has inodes, and none is left for another file. */
function takesNoFile(path: string): boolean {
  try {
    const { files, ffree } = statfsSync(dirname(path));
    return files > 0 && ffree === 0;
  } catch {
    return false;
  }
}

/** Whether SQLite failed since another connection holds a lock. */
export function isBusy(error: unknown): boolean {
  return ((sqliteResult(error) ?? 0) & 0xff) === SQLITE_BUSY;
}

function sqliteResult(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : undefined;
}

/** Runs `work`, and converts its failures with `storeError`. */
export async function inStore<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storeError(error, path);
  }
}

const repair = 'repair with "longshore image verify --repair"';

/** An index that contradicts itself, or contains a value that longshore never writes. */
export function damagedIndex(path: string, cause: unknown): ImageError<'STORE_CORRUPT'> {
  const message = `${show(path, 1024)}: a row is damaged: ${repair}`;
  return new ImageError('STORE_CORRUPT', message, { path }, { cause });
}

/** A database of another program, or one with wrong tables. A repair sets it aside. */
export function foreignIndex(path: string, cause?: unknown): ImageError<'STORE_CORRUPT'> {
  const message = `${show(path, 1024)} is not the index of a store, or it is damaged: if the directory is right, ${repair}, which sets it aside`;
  return new ImageError('STORE_CORRUPT', message, { path }, { cause });
}

/** Node's error for an integer of a row that no number of JavaScript can hold: we never write one. */
function isBeyondNumbers(error: unknown): boolean {
  return (
    error instanceof Error && error.message.startsWith('Value is too large to be represented as a JavaScript number')
  );
}

/** SQLite's errors for an index that lacks a table or column which a query names. Otherwise such an error is a bug. */
function isForeignSchema(error: unknown): boolean {
  return (
    error instanceof Error &&
    /^(?:no such (?:table|column)|(?:table|index|view) .* already exists|duplicate column|malformed database schema|table .* has no column)/i.test(
      error.message,
    )
  );
}
