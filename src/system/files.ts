import {
  type BigIntStats,
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  lstatSync,
  open as openFile,
  opendirSync,
  openSync,
} from 'node:fs';
import { type FileHandle, mkdir, open, opendir, stat } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { isMainThread } from 'node:worker_threads';

import { errnoOf, isNoEntry } from './errno.ts';
import { whenFilesAreFree, whenFilesAreFreeSync } from './spare-files.ts';

const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;

/**
 * Opens a file that this program wrote, such as one of the store. A symlink or a pipe in its place is refused.
 *
 * @throws ELOOP for a symlink, EISDIR for a directory, EFTYPE for a pipe or a device
 */
export async function openOwnFile(path: string, flags = O_RDONLY): Promise<FileHandle> {
  return requireRegular(await whenFilesAreFree(() => open(path, flags | O_NONBLOCK | O_NOFOLLOW)), path);
}

/** As openOwnFile, for threads that may block. The caller closes the file. */
export function openOwnFileSync(path: string): number {
  return whenFilesAreFreeSync(() => openRegularSync(path, O_RDONLY | O_NOFOLLOW));
}

/** Opens a regular file. The caller closes it. @throws EISDIR, EFTYPE for a pipe or a device */
export function openRegularSync(path: string, flags: number): number {
  const file = openSync(path, flags | O_NONBLOCK);
  const stat = fstatSync(file);
  if (stat.isFile()) return file;
  closeSync(file);
  throw notRegular(path, stat.isDirectory());
}

/** Opens a file that was found in a directory. It may be a symlink, as in configuration. @throws EISDIR, EFTYPE */
async function openFoundFile(path: string): Promise<FileHandle> {
  return requireRegular(await whenFilesAreFree(() => open(path, O_RDONLY | O_NONBLOCK)), path);
}

/** Whether a text is an absolute path that a file can have: none has a NUL. */
export function isAbsolutePath(text: string): boolean {
  return isAbsolute(text) && !text.includes('\0');
}

/**
 * Reads a file that a user named; it may be a pipe.
 *
 * @returns its bytes, at most `maxBytes + 1`: then the file is larger than `maxBytes`.
 */
export async function readNamed(path: string, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const stream: AsyncIterable<Buffer> = await openNamed(path); // without an encoding, chunks are buffers
  for await (const chunk of stream) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > maxBytes) break;
  }
  return joined(chunks).subarray(0, maxBytes + 1);
}

/**
 * Streams a file that a user named. A pipe is read as a socket: a blocking read in libuv's threads would keep the process from
 * ending, whatever signal it gets, while nobody writes to the pipe. This does not work in a worker thread: when it ends, Node closes
 * every descriptor that it has opened, also one that the socket has closed before.
 */
export async function openNamed(path: string): Promise<Readable> {
  if (!isMainThread) return createReadStream(path, { fd: await open(path, O_RDONLY) });
  const descriptor = await openDescriptor(path, O_RDONLY | O_NONBLOCK);
  if (!fstatSync(descriptor).isFIFO()) return createReadStream(path, { fd: descriptor });
  const { Socket } = await import('node:net'); // rarely needed
  return new Socket({ fd: descriptor, readable: true, writable: false });
}

const openDescriptor = promisify(openFile);

export async function readFound(path: string, maxBytes: number): Promise<Buffer> {
  await using file = await openFoundFile(path);
  return await readAtMost(file, maxBytes + 1);
}

const chunkBytes = 64 * 1024;

/** Reads from the current position. The size of the file is not used, since that of a pipe or a /proc file is 0. */
export async function readAtMost(file: FileHandle, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let left = bytes; left > 0;) {
    const chunk = Buffer.allocUnsafe(Math.min(left, chunkBytes));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, null);
    if (bytesRead === 0) break;
    chunks.push(chunk.subarray(0, bytesRead));
    left -= bytesRead;
  }
  return joined(chunks);
}

/**
 * Joins chunks in memory of their own. Small buffers of Node are views of 64 KiB that they share, and a message to a thread copies all of
 * the memory that a view is of.
 */
export function joined(chunks: readonly Uint8Array[]): Buffer {
  const whole = Buffer.allocUnsafeSlow(chunks.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

async function requireRegular(file: FileHandle, path: string): Promise<FileHandle> {
  const stat = await file.stat().catch(async (error: unknown) => {
    await file.close();
    throw error;
  });
  if (stat.isFile()) return file;
  await file.close();
  throw notRegular(path, stat.isDirectory());
}

function notRegular(path: string, isDirectory: boolean): Error {
  const code = isDirectory ? 'EISDIR' : 'EFTYPE';
  return Object.assign(new Error(`${code}: not a regular file, open '${path}'`), { code, path, syscall: 'open' });
}

/** False if the path does not exist. True also if that cannot be found out: opening the path reports the reason. */
export async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => !isNoEntry(error),
  );
}

/** The names in a directory, one at a time; none if the directory does not exist. */
export async function* namesIn(path: string): AsyncGenerator<string> {
  try {
    for await (const { name } of await opendir(path)) yield name;
  } catch (error) {
    if (!isNoEntry(error)) throw error;
  }
}

/** Whether a name in a directory matches. */
export function hasName(path: string, name: RegExp): boolean {
  try {
    using directory = opendirSync(path);
    for (let entry = directory.readSync(); entry; entry = directory.readSync()) if (name.test(entry.name)) return true;
    return false;
  } catch (error) {
    if (isNoEntry(error)) return false;
    throw error;
  }
}

/**
 * Makes the missing directories of a path. Node's recursive mkdir is not used: it does not return where mkdir always fails with
 * ENOENT, as below /proc.
 *
 * @param path - absolute.
 * @returns the first directory that was made, if any.
 * @throws ENOTDIR if a part of the path is not a directory.
 */
export async function makeDirectories(path: string, mode = 0o777): Promise<string | undefined> {
  try {
    return (await makeOne(path, mode)) ? path : undefined;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
  }
  const first = await makeDirectories(dirname(path), mode);
  const isMade = await makeOne(path, mode);
  return first ?? (isMade ? path : undefined);
}

async function makeOne(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    if ((await stat(path)).isDirectory()) return false;
    throw Object.assign(new Error(`ENOTDIR: not a directory, mkdir '${path}'`, { cause: error }), {
      ...{ code: 'ENOTDIR', path, syscall: 'mkdir' },
    });
  }
}

/** Identifies, together with the size, one state of one file. */
export type FileStamp = { readonly mtimeNs: bigint; readonly ctimeNs: bigint; readonly inode: bigint };

export function stampOf({ mtimeNs, ctimeNs, ino }: BigIntStats): FileStamp {
  return { mtimeNs, ctimeNs, inode: ino };
}

/** The current state of a regular file; undefined for anything else. */
export function stampFile(path: string): { readonly size: number; readonly stamp: FileStamp } | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat?.isFile() ? { size: Number(stat.size), stamp: stampOf(stat) } : undefined;
}

/** The size and the stamp as one text, to be compared with that of a later moment. */
export function stampText({ size, mtimeNs, ctimeNs, ino }: BigIntStats): string {
  return `${size} ${mtimeNs} ${ctimeNs} ${ino}`;
}
