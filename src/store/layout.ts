import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, stat, statfs, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { errnoOf, hasNoLinks } from '../system/errno.ts';
import { isThere, makeDirectories } from '../system/files.ts';
import { syncDirectory } from '../system/write-files.ts';
import type { Layout } from './index/protocol.ts';

const setgid = 0o2000;

/** The file that marks a directory as an OCI image layout. @see OCI image-spec, image-layout.md */
const ociLayout = '{"imageLayoutVersion":"1.0.0"}\n';
const ociIndex = '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}\n';

/** Makes the missing files and directories of a store. Several processes may do so at once. */
export async function makeLayout(dir: string): Promise<Layout> {
  const made = await makeStoreDirectory(dir);
  await requireLocalFilesystem(dir);
  const layout = storeLayout(dir, (await stat(dir)).mode);
  const make = (directory: string): Promise<boolean> => makeDirectory(directory, layout.dirMode);
  await make(join(dir, 'blobs'));
  await Promise.all([
    ...[layout.blobs, layout.registryBlobs, layout.downloads, layout.tmp].map(make),
    makeFile(layout.index, '', layout.fileMode),
    makeFile(layout.ociIndex, ociIndex, layout.fileMode),
  ]);
  const completed = await makeFile(join(dir, 'oci-layout'), ociLayout, layout.fileMode);
  if (completed) for (const directory of [join(dir, 'blobs'), dir]) await syncDirectory(directory);
  if (made) await syncDirectory(dirname(dir));
  return layout;
}

/**
 * Below a setgid directory the group may write to the store, if it may write to the parent; elsewhere only its owner
 * may, and others may read what the umask lets them read.
 */
async function makeStoreDirectory(dir: string): Promise<boolean> {
  try {
    await makeDirectories(dirname(dir));
    const { mode } = await stat(dirname(dir));
    return await (mode & setgid ? makeDirectory(dir, mode & 0o2775) : makeOwnDirectory(dir));
  } catch (error) {
    throw errnoOf(error) === 'ENOENT' ? unmakeable(dir, error) : error;
  }
}

/** For instance below /proc, where no directory can be made. The store is not damaged. */
function unmakeable(dir: string, cause: unknown): ImageError {
  const path = cause instanceof Error && 'path' in cause && typeof cause.path === 'string' ? cause.path : dir;
  const message = `${show(path, 1024)}: no directory can be made there (ENOENT)`;
  return new ImageError('STORE_READ_ONLY', message, { path }, { cause });
}

async function makeDirectory(path: string, mode: number): Promise<boolean> {
  const made = await makeOwnDirectory(path);
  if (made) await chmod(path, mode);
  return made;
}

async function makeOwnDirectory(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o755 });
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Makes a complete file, atomically, unless the path exists.
 *
 * The index is made like this too, as an empty file. SQLite would give it the mode of the umask. And if we opened it
 * here by its own path, closing it would drop the locks that this process may hold on it as an open store.
 */
async function makeFile(path: string, content: string, mode: number): Promise<boolean> {
  if (await isThere(path)) return false;
  const temporary = `${path}.${randomBytes(8).toString('hex')}`;
  const write = async (name: string): Promise<void> => {
    await using file = await open(name, 'wx');
    await file.writeFile(content);
    await file.chmod(mode);
    await file.datasync();
  };
  try {
    await write(temporary);
    await link(temporary, path).catch((error: unknown) => {
      if (!hasNoLinks(error)) throw error;
      return write(path); // not renamed: that could replace an index that another process has just made
    });
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
}

const worldWritable = 0o002;

/** SQLite accepts paths of up to 512 bytes, and appends to the longest one, that of a lock in `tmp`. */
const dirBytes = 440;

/** @throws FILE_UNREADABLE for a directory whose path is too long for a store. */
export function requireShortPath(dir: string): void {
  const bytes = Buffer.byteLength(dir);
  if (bytes <= dirBytes) return;
  const message = `the path of the store is too long (${bytes} bytes, at most ${dirBytes}): ${show(dir)}`;
  throw new ImageError('FILE_UNREADABLE', message, { path: dir, errno: 'ENAMETOOLONG' });
}

/**
 * @param mode - of `dir`: files and directories in it get the same, whatever the umask, but without write permission
 * for others.
 */
export function storeLayout(dir: string, mode: number): Layout {
  const dirMode = mode & (0o777 | setgid) & ~worldWritable;
  return {
    dir,
    index: join(dir, 'index.sqlite'),
    blobs: join(dir, 'blobs', 'sha512'),
    registryBlobs: join(dir, 'blobs', 'sha256'),
    ociIndex: join(dir, 'index.json'),
    downloads: join(dir, 'downloads'),
    tmp: join(dir, 'tmp'),
    dirMode,
    fileMode: dirMode & 0o666,
  };
}

/** `f_type` of filesystems that other machines can write to. @see statfs(2) */
const networkTypes: ReadonlyMap<number, string> = new Map([
  [0x6969, 'nfs'],
  [0x517b, 'smb'],
  [0xff534d42, 'cifs'],
  [0xfe534d42, 'smb2'],
  [0x01021997, '9p'],
  [0x00c36400, 'ceph'],
  [0x5346414f, 'afs'],
  [0x73757245, 'coda'],
  [0x0bd00bd0, 'lustre'],
  [0x47504653, 'gpfs'],
]);
const fuseType = 0x65735546;
const networkFuse =
  /^fuse\.(sshfs|glusterfs|s3fs|gcsfuse|goofys|rclone|davfs2?|curlftpfs|ceph-fuse|juicefs|mfs|smbnetfs)$/;

/**
 * The write-ahead log of SQLite needs shared memory, which network filesystems do not offer.
 *
 * @throws STORE_READ_ONLY when `dir` is on one.
 */
export async function requireLocalFilesystem(dir: string): Promise<void> {
  const { type } = await statfs(dir);
  const network = networkFilesystem(type, type === fuseType ? await mountedType(dir) : undefined);
  if (network === undefined) return;
  const message = `${show(dir)} lies on a network filesystem (${network}), which cannot hold a store: choose a local directory`;
  throw new ImageError('STORE_READ_ONLY', message, { path: dir });
}

/** @param mounted - the type in the mount table, which distinguishes the filesystems that FUSE serves. */
export function networkFilesystem(type: number, mounted: string | undefined): string | undefined {
  if (mounted !== undefined && networkFuse.test(mounted)) return mounted;
  return networkTypes.get(type >>> 0);
}

/** @see proc_pid_mountinfo(5): the third field is the device, the first after the dash the type. */
async function mountedType(dir: string): Promise<string | undefined> {
  const { dev } = await stat(dir, { bigint: true });
  const device = `${((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn)}:${(dev & 0xffn) | ((dev >> 12n) & ~0xffn)}`;
  const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  const mount = mounts.split('\n').find((line) => line.split(' ')[2] === device);
  return mount?.split(' - ')[1]?.split(' ')[0];
}
