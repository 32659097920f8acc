import { readFile, stat, statfs } from 'node:fs/promises';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';

/** `f_type` of filesystems that other machines may write as well. @see statfs(2) */
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
 * SQLite's write-ahead log needs memory that all its users share, which no network filesystem offers.
 *
 * @throws STORE_READ_ONLY when `dir` lies on one.
 */
export async function requireLocalFilesystem(dir: string): Promise<void> {
  const { type } = await statfs(dir);
  const network = networkFilesystem(type, type === fuseType ? await mountedType(dir) : undefined);
  if (network === undefined) return;
  const message = `${show(dir)} lies on a network filesystem (${network}), which cannot hold a store: choose a local --dir`;
  throw new ImageError('STORE_READ_ONLY', message, { path: dir });
}

/** @param mounted - the type that the mount table names, which tells apart what FUSE serves. */
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
