import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  open as openFile,
  openSync,
  opendirSync,
  lstatSync,
  type BigIntStats,
} from 'node:fs';
import { open, type FileHandle, mkdir, opendir, stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { isMainThread } from 'node:worker_threads';
import { dirname } from 'node:path';

import { whenFilesAreFree, whenFilesAreFreeSync } from './spare-files.ts';
import { errnoOf, isNoEntry } from './errno.ts';

const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;

/**
 * Opens a file of our own, such as one of the store. What somebody put in its place is neither followed nor waited for.
 *
 * @throws ELOOP for a symlink, EISDIR for a directory, EFTYPE for a pipe or a device
 */
export async function openOwnFile(path: string, flags = O_RDONLY): Promise<FileHandle> {
  return requireRegular(await whenFilesAreFree(() => open(path, flags | O_NONBLOCK | O_NOFOLLOW)), path);
}

/** The same, in a thread of its own. The caller closes it. */
export function openOwnFileSync(path: string): number {
  const file = whenFilesAreFreeSync(() => openSync(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW));
  const stat = fstatSync(file);
  if (stat.isFile()) return file;
  closeSync(file);
  throw notRegular(path, stat.isDirectory());
}

/** Opens a file that was found, which may lie behind a symlink, as configuration often does. @throws EISDIR, EFTYPE */
export async function openFoundFile(path: string): Promise<FileHandle> {
  return requireRegular(await whenFilesAreFree(() => open(path, O_RDONLY | O_NONBLOCK)), path);
}

/**
 * Reads a file that a user named, which may be a pipe, or one that was found, which must be a regular file.
 *
 * @returns its bytes, at most one more than `maxBytes`: that says that there are more.
 */
export async function readNamed(path: string, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const stream: AsyncIterable<Buffer> = await openNamed(path); // which has no encoding
  for await (const chunk of stream) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > maxBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxBytes + 1);
}

/**
 * The bytes of a file that a user named, as they come. A pipe that nobody writes to yet is waited for as a socket is: a call
 * that waits in a thread would keep the process from ending, whatever signal it gets. (In a worker thread it is all the same: Node
 * closes there, when the thread ends, every descriptor that it has given out, also one that the socket has closed.)
 */
export async function openNamed(path: string): Promise<Readable> {
  if (!isMainThread) return createReadStream(path, { fd: await open(path, O_RDONLY) });
  const descriptor = await openDescriptor(path, O_RDONLY | O_NONBLOCK);
  if (!fstatSync(descriptor).isFIFO()) return createReadStream(path, { fd: descriptor });
  const { Socket } = await import('node:net'); // which hardly anybody needs
  return new Socket({ fd: descriptor, readable: true, writable: false });
}

const openDescriptor = promisify(openFile);

export async function readFound(path: string, maxBytes: number): Promise<Buffer> {
  await using file = await openFoundFile(path);
  return await readAtMost(file, maxBytes + 1);
}

const chunkBytes = 64 * 1024;

/** From where the file stands: a pipe has no positions, and a size that says nothing. */
export async function readAtMost(file: FileHandle, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let left = bytes; left > 0;) {
    const chunk = Buffer.allocUnsafe(Math.min(left, chunkBytes));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, null);
    if (bytesRead === 0) break;
    chunks.push(chunk.subarray(0, bytesRead));
    left -= bytesRead;
  }
  return Buffer.concat(chunks);
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
  return Object.assign(new Error(`${code}: it is no regular file, open '${path}'`), { code, path, syscall: 'open' });
}

/** False where nothing is there; true also where that cannot be told: what opens it says why. */
export async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => !isNoEntry(error),
  );
}

/** The names in a directory, one at a time; none where there is no directory. */
export async function* namesIn(path: string): AsyncGenerator<string> {
  try {
    for await (const { name } of await opendir(path)) yield name;
  } catch (error) {
    if (!isNoEntry(error)) throw error;
  }
}

/** Whether there is such a name in a directory; looks no further than the first. */
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
 * Makes what is missing of a path. Node's own way never comes back where the system says that nothing is there whatever is
 * made, as below /proc.
 *
 * @param path - absolute.
 * @returns the first directory that was made, if any. @throws ENOTDIR where something else is in the way
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

/** Tells one state of one file from all others, together with its size. */
export type FileStamp = { readonly mtimeNs: bigint; readonly ctimeNs: bigint; readonly inode: bigint };

export function stampOf({ mtimeNs, ctimeNs, ino }: BigIntStats): FileStamp {
  return { mtimeNs, ctimeNs, inode: ino };
}

/** A regular file as it stands now; undefined for everything else. */
export function stampFile(path: string): { readonly size: number; readonly stamp: FileStamp } | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat?.isFile() ? { size: Number(stat.size), stamp: stampOf(stat) } : undefined;
}
