import { chmodSync, fchmodSync, fchownSync, futimesSync, lchownSync, lutimesSync } from 'node:fs';
import { spawnSync } from 'node:child_process';

import type { Attributes } from '../tar/header.ts';
import type { ExtendedAttributes } from '../tar/extensions.ts';

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

/** Sets extended attributes, of many files at once. */
type XattrWriter = {
  /** @param path - relative to the directory; latin1 text. */
  add(path: string, xattrs: ExtendedAttributes): void;
  /** Sets what was added. */
  flush(): void;
};

const timeout = 60_000;

/** About the system that they were read on: SELinux's labels, NFS's access lists, what overlayfs keeps for itself. */
const foreign = /^(?:security\.selinux|system\.nfs4_acl|(?:trusted|user)\.overlay\..*)$/;

/**
 * By the system's setfattr, which takes a dump of many files: Node has no call for it. It follows no symlink at the end of a
 * path; what is above must belong to nobody else meanwhile.
 *
 * @param maximumBytes - of a dump: when there is more it is flushed.
 * @param onFailure - gets the path of each file of which an attribute could not be set, more than once maybe.
 */
export function createXattrWriter(
  directory: string,
  maximumBytes: number,
  onFailure: (path: string) => void,
): XattrWriter {
  let dump: string[] = [];
  let bytes = 0;
  /** By the form in which setfattr names them. */
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

/** Those that the messages name, one a line; all when they name none. */
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
