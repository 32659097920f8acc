import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { hasNoLinks, isNoEntry } from '../../../system/errno.ts';
import { isBusy } from '../../store-error.ts';
import type { Layout } from '../protocol.ts';
import { clearDirectory, type Cleared, nothing } from './clear-directory.ts';
import { withTransaction } from './transaction.ts';

/** A living owner is not checked again for this long: many waiting processes ask about the same one. */
const trustedMs = 20;
/** A lock file that has not been locked for this long never will be. */
const unlockedMs = 10 * 60_000;
/** The time between two checks counts up to this much: this process may have been stopped itself. */
const maxCheckGapMs = 1_000;
const ownerName = /^[0-9a-f]{32}$/;
/** Names that owners use in `tmp`, and names that locks have before they are locked. Other names are not ours. */
const ownedName = /^([0-9a-f]{32})(?:\.lock)?$/;
const unlockedName = /^new-[0-9a-f]{32}(?:\.lock)?$/;

/** The processes that use the store, as this process sees them. */
export type Owners = {
  /** False when the owner is dead; then its claims and its directory have been removed. */
  isAlive(owner: string): boolean;
  /** How long this process has seen no sign of life from the owner. 0 for an older version, which gives none. */
  silentMs(owner: string): number;
  /**
   * Removes the files of every dead owner, or only counts them (`dryRun`). Those of another user stay, for that user or
   * root.
   */
  sweep(options: { readonly nowMs: number; readonly dryRun: boolean }): Cleared;
};

/** @param now - milliseconds of a monotonic clock. */
export function createOwners(
  db: DatabaseSync,
  { tmp }: Pick<Layout, 'tmp'>,
  self: string,
  now = (): number => performance.now(),
): Owners {
  const dropClaims = db.prepare('DELETE FROM claims WHERE owner = ?');
  const claimants = db.prepare('SELECT DISTINCT owner FROM claims');
  const aliveUntil = new Map<string, number>();
  const signs = new Map<string, { readonly mtimeMs: number; readonly silentMs: number; readonly atMs: number }>();

  const drop = (owner: string): void => void withTransaction(db, 'NORMAL', () => dropClaims.run(owner));

  /**
   * Claims are dropped first, since others wait for them. On a full disk that works only after files have been removed.
   */
  const bury = (owner: string, dryRun: boolean): Cleared => {
    const path = ownerName.test(owner) ? join(tmp, owner) : undefined; // a damaged row must not lead out of `tmp`
    const clear = (): Cleared => (path === undefined ? nothing : clearOwner(path, dryRun));
    if (dryRun) return clear();
    aliveUntil.delete(owner);
    signs.delete(owner);
    try {
      drop(owner);
      return clear();
    } catch {
      const left = clear();
      drop(owner);
      return left;
    }
  };

  const isAlive = (owner: string): boolean => {
    if (owner === self || (aliveUntil.get(owner) ?? 0) > now()) return true;
    if (ownerName.test(owner) && !isDead(join(tmp, owner))) {
      aliveUntil.set(owner, now() + trustedMs);
      return true;
    }
    bury(owner, false);
    return false;
  };

  const sweepUnlocked = (name: string, nowMs: number, dryRun: boolean): Cleared => {
    const path = join(tmp, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat || nowMs - stat.mtimeMs <= unlockedMs || lockState(path) === 'held') return nothing;
    return clearOwn(path, dryRun);
  };

  return {
    isAlive,
    silentMs(owner) {
      const mtimeMs = timeOf(join(tmp, owner + lockSuffix));
      if (!ownerName.test(owner) || mtimeMs === undefined) return 0;
      const last = signs.get(owner);
      const atMs = now();
      const silentMs = last?.mtimeMs === mtimeMs ? last.silentMs + Math.min(atMs - last.atMs, maxCheckGapMs) : 0;
      signs.set(owner, { mtimeMs, silentMs, atMs });
      return silentMs;
    },
    sweep({ nowMs, dryRun }) {
      const names = readdirSync(tmp);
      const owners = new Set(names.map((name) => ownedName.exec(name)?.[1]).filter((name) => name !== undefined));
      owners.delete(self);
      const dead = [...owners].filter((owner) => isDead(join(tmp, owner)));
      const cleared = [
        ...names.filter((name) => unlockedName.test(name)).map((name) => sweepUnlocked(name, nowMs, dryRun)),
        ...dead.map((owner) => bury(owner, dryRun)),
      ];
      if (!dryRun) for (const { owner } of claimants.all()) isAlive(String(owner));
      return sum(cleared);
    },
  };
}

/**
 * An owner is dead only if its lock does not exist or is free. Older versions have the lock inside the directory.
 *
 * @param path - of the owner's directory.
 */
function isDead(path: string): boolean {
  const state = lockState(path + lockSuffix);
  if (state !== 'absent') return state === 'free';
  const isDirectory = lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  return !isDirectory || ['absent', 'free'].includes(lockState(join(path, 'lock')));
}

function timeOf(path: string): number | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.mtimeMs;
  } catch {
    return undefined;
  }
}

/** Removes the directory before the lock: the lock shows whose directory it was. */
function clearOwner(path: string, dryRun: boolean): Cleared {
  const cleared = clearOwn(path, dryRun);
  if (cleared.left.length > 0) return cleared;
  return sum([cleared, clearOwn(path + lockSuffix, dryRun)]);
}

function clearOwn(path: string, dryRun: boolean): Cleared {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return nothing;
  const user = process.geteuid?.() ?? stat.uid;
  return user === 0 || user === stat.uid ? clearDirectory(path, dryRun) : { ...nothing, left: [path] };
}

function sum(parts: readonly Cleared[]): Cleared {
  return {
    files: parts.reduce((total, { files }) => total + files, 0),
    bytes: parts.reduce((total, { bytes }) => total + bytes, 0),
    left: parts.flatMap(({ left }) => left),
  };
}

/** Prefix of a lock file that is not locked yet. */
const unlockedPrefix = 'new-';
const lockSuffix = '.lock';

const setgid = 0o2000;

/** This process's directory in `tmp`, and a lock next to it that proves to other processes that this one lives. */
export type Owner = {
  readonly name: string;
  /** Gives a sign of life: updates the mtime of the lock. */
  readonly beat: () => void;
  close(): void;
};

/**
 * Locks a file under a name that other processes ignore, renames it, and makes the directory. The group may read the
 * lock; only this user may use the directory. The kernel releases the lock however the process ends.
 */
export function createOwner({ tmp, dirMode, fileMode }: Layout): Owner {
  const name = randomBytes(16).toString('hex');
  const path = join(tmp, name);
  const lockPath = path + lockSuffix;
  const unlocked = join(tmp, unlockedPrefix + name + lockSuffix);
  try {
    const lock = createLock(unlocked, fileMode & 0o644);
    renameSync(unlocked, lockPath);
    mkdirSync(path, { mode: 0o700 });
    chmodSync(path, 0o700 | (dirMode & setgid));
    linkIfPossible(lockPath, join(path, 'lock')); // older versions look here
    return {
      name,
      beat: () => {
        const now = Date.now() / 1000;
        try {
          lutimesSync(lockPath, now, now);
        } catch {
          // Waiting processes take this one for stopped after a while, and go on without it.
        }
      },
      close: () => {
        rmSync(path, { recursive: true, force: true });
        rmSync(lockPath, { force: true });
        lock.close();
      },
    };
  } catch (error) {
    rmSync(path, { recursive: true, force: true });
    for (const file of [unlocked, lockPath]) rmSync(file, { force: true });
    throw error;
  }
}

/** Only versions that do not know `<owner>.lock` miss this one. */
function linkIfPossible(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if (!hasNoLinks(error)) throw error;
  }
}

/** Makes an empty lock file, and holds an exclusive lock on it until the connection is closed or the process ends. */
function createLock(path: string, mode: number): DatabaseSync {
  writeFileSync(path, '', { flag: 'wx' });
  chmodSync(path, mode);
  const db = new DatabaseSync(path, { timeout: 0 });
  db.exec('PRAGMA journal_mode = MEMORY'); // nothing is ever written, and the file is about to be renamed
  db.exec('BEGIN EXCLUSIVE');
  return db;
}

/** `unknown`: it could not be opened, for instance for want of file descriptors, so a process may hold it. */
type LockState = 'held' | 'free' | 'absent' | 'unknown';

/**
 * Whether a living process holds a lock. To find out, a process reads the file, which needs no write permission. A lock
 * is always an empty file; anything else is not opened, since that might block or follow a link.
 */
function lockState(path: string): LockState {
  try {
    if (!isEmptyFile(path)) return 'absent';
    using db = new DatabaseSync(path, { readOnly: true, timeout: 0 });
    db.prepare('PRAGMA user_version').get();
    return 'free';
  } catch (error) {
    if (isBusy(error)) return 'held';
    return isGone(path) ? 'absent' : 'unknown';
  }
}

function isEmptyFile(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile() && stat.size === 0;
}

function isGone(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) === undefined;
  } catch (error) {
    return isNoEntry(error);
  }
}
