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
 * Times are exact to the microsecond; what is finer is right to a quarter of one.
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

/** Whoever may not change a file may not set its attributes either, unless it is root. */
export function isWritableByUs({ mode }: Wanted): boolean {
  return isRoot || (mode & 0o200) !== 0;
}

/** Setuid and setgid are about an owner, so they come with the owner or not at all. */
function modeOf({ mode }: Wanted): number {
  return mode & (isRoot ? 0o7777 : 0o1777);
}

/** As text, because Node takes a negative number for the present. */
function timeOf({ mtime, mtimeText }: Wanted): string | undefined {
  if (mtime === undefined) return undefined;
  const isFine = mtimeText?.includes('.') === true && Math.abs(mtime) < maximumSeconds;
  return String(isFine ? nearestSeconds(mtime, mtimeText) : Math.max(-maximumSeconds, Math.min(mtime, maximumSeconds)));
}

/**
 * Node's calls take seconds as a double, and the fraction is cut to whole nanoseconds: of the doubles that are nearest, the
 * one by which a file gets the same microsecond.
 */
function nearestSeconds(seconds: number, text: string): number {
  const wanted = toNanoseconds(text);
  const misses = (candidate: number): bigint => {
    const got = BigInt(Math.trunc(candidate)) * 1_000_000_000n + BigInt(Math.trunc((candidate % 1) * 1e9));
    const isSame = floorToMicroseconds(got) === floorToMicroseconds(wanted);
    return (got < wanted ? wanted - got : got - wanted) + (isSame ? 0n : 1_000_000n);
  };
  return [seconds, step(seconds, -1n), step(seconds, 1n)].reduce((best, candidate) =>
    misses(candidate) < misses(best) ? candidate : best,
  );
}

function toNanoseconds(text: string): bigint {
  const [whole = '', fraction = ''] = text.replace('-', '').split('.');
  const magnitude = BigInt(whole + fraction.slice(0, 9).padEnd(9, '0'));
  return text.startsWith('-') ? -magnitude : magnitude;
}

function floorToMicroseconds(nanoseconds: bigint): bigint {
  return (nanoseconds - (((nanoseconds % 1000n) + 1000n) % 1000n)) / 1000n;
}

/** The next double, away from zero or towards it. */
function step(value: number, by: 1n | -1n): number {
  const bits = new BigInt64Array(new Float64Array([value]).buffer);
  bits[0] = (bits[0] ?? 0n) + by;
  const [next = value] = new Float64Array(bits.buffer);
  return Number.isFinite(next) ? next : value;
}
