import { chmodSync, fchmodSync, fchownSync, futimesSync, lchownSync, lutimesSync } from 'node:fs';

import type { Attributes } from '../tar/header.ts';

/** Absent facts leave what is there. */
export type Wanted = Pick<Attributes, 'mode'> & Partial<Attributes>;

/** Only root can give files away. */
const isRoot = process.geteuid?.() === 0;
const maximumId = 2 ** 32 - 2;
const maximumSeconds = 2 ** 40;

/**
 * Owner, mode and time of an open file, in this order: a new owner takes setuid away, and a change of either is new.
 *
 * Extended attributes are not set: Node has no call for them. Times have the precision of a double, a fraction of 1 µs.
 */
export function setOnFile(file: number, wanted: Wanted): void {
  const [uid, gid] = ownerOf(wanted);
  if (isRoot) fchownSync(file, uid, gid);
  fchmodSync(file, modeOf(wanted));
  const time = timeOf(wanted);
  if (time !== undefined) futimesSync(file, time, time);
}

/** The same for anything but a symlink, by its path. */
export function setOnPath(path: Buffer, wanted: Wanted): void {
  const [uid, gid] = ownerOf(wanted);
  if (isRoot) lchownSync(path, uid, gid);
  chmodSync(path, modeOf(wanted));
  setTime(path, wanted);
}

/** A symlink has no mode of its own. */
export function setOnSymlink(path: Buffer, wanted: Wanted): void {
  const [uid, gid] = ownerOf(wanted);
  if (isRoot) lchownSync(path, uid, gid);
  setTime(path, wanted);
}

function setTime(path: Buffer, wanted: Wanted): void {
  const time = timeOf(wanted);
  if (time !== undefined) lutimesSync(path, time, time);
}

/** -1 leaves the owner: so does an ID that the system has no room for. */
function ownerOf({ uid = -1, gid = -1 }: Wanted): readonly [uid: number, gid: number] {
  return [uid > maximumId ? -1 : Math.max(uid, -1), gid > maximumId ? -1 : Math.max(gid, -1)];
}

/** Setuid and setgid are about an owner, so they come with the owner or not at all. */
function modeOf({ mode }: Wanted): number {
  return mode & (isRoot ? 0o7777 : 0o1777);
}

/** As text, because Node takes a negative number for the present. */
function timeOf({ mtime }: Wanted): string | undefined {
  return mtime === undefined ? undefined : String(Math.max(-maximumSeconds, Math.min(mtime, maximumSeconds)));
}
