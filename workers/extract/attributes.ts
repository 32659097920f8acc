import { spawnSync } from 'node:child_process';
import { chmodSync, fchmodSync, fchownSync, futimesSync, lchownSync, lutimesSync } from 'node:fs';

import type { ExtendedAttributes } from '../tar/extensions.ts';
import type { Attributes } from '../tar/header.ts';

/** The attributes to set. Absent ones are not changed. */
export type Wanted = Pick<Attributes, 'mode'> & Partial<Attributes>;

/** Only root can change the owner of a file. */
const isRoot = process.geteuid?.() === 0;
const maximumId = 2 ** 32 - 2;
const maximumSeconds = 2 ** 40;

/**
 * Sets owner, mode and time of an open file, in this order: a change of the owner clears setuid, and both change the
 * ctime.
 *
 * Times are exact to the microsecond; smaller parts are within a quarter of one.
 */
export function setOnFile(file: number, wanted: Wanted): void {
  const [uid, gid] = ownerOf(wanted);
  if (isRoot) fchownSync(file, uid, gid);
  fchmodSync(file, modeOf(wanted));
  const time = timeOf(wanted);
  if (time !== undefined) futimesSync(file, time, time);
}

/** As setOnFile, for any file but a symlink, by its path. */
export function setOnPath(path: Buffer, wanted: Wanted): void {
  const [uid, gid] = ownerOf(wanted);
  if (isRoot) lchownSync(path, uid, gid);
  chmodSync(path, modeOf(wanted));
  setTime(path, wanted);
}

/** As setOnPath, for a symlink, which has no mode. */
export function setOnSymlink(path: Buffer, wanted: Wanted): void {
  const [uid, gid] = ownerOf(wanted);
  if (isRoot) lchownSync(path, uid, gid);
  setTime(path, wanted);
}

function setTime(path: Buffer, wanted: Wanted): void {
  const time = timeOf(wanted);
  if (time !== undefined) lutimesSync(path, time, time);
}

/** -1 keeps the owner. It also replaces IDs that are too large for the system. */
function ownerOf({ uid = -1, gid = -1 }: Wanted): readonly [uid: number, gid: number] {
  return [uid > maximumId ? -1 : Math.max(uid, -1), gid > maximumId ? -1 : Math.max(gid, -1)];
}

/**
 * Whether this process may set extended attributes on a file with this mode: only root may do so without write
 * permission.
 */
export function isWritableByUs({ mode }: Wanted): boolean {
  return isRoot || (mode & 0o200) !== 0;
}

/** Setuid and setgid depend on the owner, so they are dropped when the owner cannot be set. */
function modeOf({ mode }: Wanted): number {
  return mode & (isRoot ? 0o7777 : 0o1777);
}

/** A text, since Node takes a negative number for the current time. */
function timeOf({ mtime, mtimeText }: Wanted): string | undefined {
  if (mtime === undefined) return undefined;
  const isFine = mtimeText?.includes('.') === true && Math.abs(mtime) < maximumSeconds;
  return String(isFine ? nearestSeconds(mtime, mtimeText) : Math.max(-maximumSeconds, Math.min(mtime, maximumSeconds)));
}

/**
 * Node takes seconds as a double and cuts the fraction to whole nanoseconds. Of the nearest doubles, this returns the
 * one with which the file gets the right microsecond.
 */
function nearestSeconds(seconds: number, text: string): number {
  const exact = toNanoseconds(text);
  const misses = (candidate: number): bigint => {
    const got = BigInt(Math.trunc(candidate)) * 1_000_000_000n + BigInt(Math.trunc((candidate % 1) * 1e9));
    const isSame = floorToMicroseconds(got) === floorToMicroseconds(exact);
    return (got < exact ? exact - got : got - exact) + (isSame ? 0n : 1_000_000n);
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

/** The adjacent double, away from zero or towards it. */
function step(value: number, by: 1n | -1n): number {
  const bits = new BigInt64Array(new Float64Array([value]).buffer);
  bits[0] = (bits[0] ?? 0n) + by;
  const [next = value] = new Float64Array(bits.buffer);
  return Number.isFinite(next) ? next : value;
}

/** Sets extended attributes of many files at once. */
type XattrWriter = {
  /** @param path - relative to the directory; latin1 text. */
  add(path: string, xattrs: ExtendedAttributes): void;
  /** Sets all attributes that were added. */
  flush(): void;
};

const timeout = 60_000;

/**
 * Attributes that only make sense on the system they were read on: SELinux labels, NFS access lists, and those that
 * overlayfs uses internally.
 */
const foreign = /^(?:security\.selinux|system\.nfs4_acl|(?:trusted|user)\.overlay\..*)$/;

/**
 * Uses the program setfattr, which takes a dump of many files: Node has no function for it. setfattr follows no symlink
 * at the end of a path; nobody else may be able to write to the directories above.
 *
 * @param maximumBytes - of a dump; a larger one is split.
 * @param onFailure - gets the path of each file with an attribute that could not be set, possibly more than once.
 */
export function createXattrWriter(
  directory: string,
  maximumBytes: number,
  onFailure: (path: string) => void,
): XattrWriter {
  let dump: string[] = [];
  let bytes = 0;
  /** By the form of the path in setfattr's messages. */
  let paths = new Map<string, string>();

  const flush = (): void => {
    if (dump.length === 0) return;
    const input = Buffer.from(dump.join(''), 'latin1');
    const { status, stderr } = spawnSync('env', ['LC_ALL=C', 'setfattr', '-h', '--restore=-'], {
      cwd: directory,
      input,
      encoding: 'latin1',
      stdio: ['pipe', 'ignore', 'pipe'],
      maxBuffer: maximumBytes * 2,
      timeout,
    });
    if (status !== 0) failedPaths(stderr, paths).forEach(onFailure);
    dump = [];
    bytes = 0;
    paths = new Map();
  };

  return {
    flush,
    add(path, xattrs) {
      const lines = Array.from(xattrs)
        .filter(([name]) => !foreign.test(name))
        .map(([name, value]) => `${quote(name, /[^\w.-]/g)}=${formatValue(value)}\n`);
      if (lines.length === 0) return;
      const text = `# file: ${quote(path, /[^\w./-]/g)}\n${lines.join('')}\n`;
      if (bytes + text.length > maximumBytes) flush();
      dump.push(text);
      bytes += text.length;
      paths.set(quote(path, /[\n\r\\]/g), path);
    },
  };
}

/** The paths that the messages name, one in each line; all paths when they name none. */
function failedPaths(stderr: string | null, paths: ReadonlyMap<string, string>): readonly string[] {
  const lines = (stderr ?? '').split('\n').map((line) => /^setfattr: (.*): [^:]*$/.exec(line)?.[1] ?? '');
  const named = lines.flatMap((line) => paths.get(line) ?? []);
  return named.length > 0 ? named : [...paths.values()];
}

function quote(text: string, special: RegExp): string {
  return text.replace(special, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

function formatValue(value: string): string {
  return value === '' ? '""' : `0x${Buffer.from(value, 'latin1').toString('hex')}`;
}
