import {
  lstatSync,
  readdirSync,
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { randomBytes } from 'node:crypto';

import { clearDirectory, nothing, type Cleared } from './clear-directory.ts';
import type { Layout } from '../protocol.ts';
import { withTransaction, isSqliteError, SQLITE_BUSY } from './transaction.ts';
import { isNoEntry } from '../../../system/errno.ts';

/** An owner found alive is believed for so long: many waiters ask about the same one. */
const trustedMs = 20;
/** A lock file that has been without its lock for so long will not get it. */
const unlockedMs = 10 * 60_000;
/** Between two looks no more counts: this process may itself have been stopped. */
const lookMs = 1_000;
const ownerName = /^[0-9a-f]{32}$/;
/** What owners have in `tmp`, and what they will have. What else lies there is not ours. */
const ownedName = /^([0-9a-f]{32})(?:\.lock)?$/;
const unlockedName = /^new-[0-9a-f]{32}(?:\.lock)?$/;

/** What the processes of one store know of each other. */
export type Owners = {
  /** False once the owner is dead, and its claims and its directory are gone. */
  isAlive(owner: string): boolean;
  /** For how long it has given no sign of life, as far as this process has looked; 0 for an older version, which gives none. */
  silentMs(owner: string): number;
  /** Removes what every dead owner left, or only counts it. What is another user's is left to that user or to root. */
  sweep(options: { readonly nowMs: number; readonly dryRun: boolean }): Cleared;
};

/** @param now - milliseconds of a clock that only goes forward. */
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

  /** The claims first: others wait for them. On a full disk they can only be dropped once the files are. */
  const bury = (owner: string, dryRun: boolean): Cleared => {
    const path = ownerName.test(owner) ? join(tmp, owner) : undefined; // a damaged row must not lead elsewhere
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
      const silentMs = last?.mtimeMs === mtimeMs ? last.silentMs + Math.min(atMs - last.atMs, lookMs) : 0;
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
 * Only a lock that is not there, or could be had, proves death. Older versions have theirs inside the directory.
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

/** The directory first: as long as it is there, the lock tells whose it was. */
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

/** A lock file that bears this prefix is not locked yet. */
const unlockedPrefix = 'new-';
const lockSuffix = '.lock';

const setgid = 0o2000;

/** This process's directory in `tmp`, and the lock beside it that tells other processes that it lives. */
export type Owner = {
  readonly name: string;
  /** A sign of life: the time of the lock. */
  readonly beat: () => void;
  close(): void;
};

/**
 * Locks a file under a name that sweepers ignore, gives it its name, and makes the directory. The group may read the lock;
 * the directory is this user's alone. The kernel drops the lock however the process ends.
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
    linkSync(lockPath, join(path, 'lock')); // where older versions look
    return {
      name,
      beat: () => {
        const now = Date.now() / 1000;
        try {
          lutimesSync(lockPath, now, now);
        } catch {
          // Who waits for this process takes it for stopped after a while, and does without it.
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

/** Makes a lock file, which is empty for ever, and holds it exclusively until the connection is closed or the process ends. */
function createLock(path: string, mode: number): DatabaseSync {
  writeFileSync(path, '', { flag: 'wx' });
  chmodSync(path, mode);
  const db = new DatabaseSync(path, { timeout: 0 });
  db.exec('PRAGMA journal_mode = MEMORY'); // nothing is ever written, and the file is about to get its name
  db.exec('BEGIN EXCLUSIVE');
  return db;
}

/** `unknown`: it could not be opened, as when this process has no descriptor left; somebody may hold it. */
type LockState = 'held' | 'free' | 'absent' | 'unknown';

/**
 * Whether a living process holds a lock, found by reading it, which others than its owner may, too. What is no empty file
 * is no lock of ours; to open it could mean to wait, or to follow what somebody put there.
 */
function lockState(path: string): LockState {
  try {
    if (!isEmptyFile(path)) return 'absent';
    using db = new DatabaseSync(path, { readOnly: true, timeout: 0 });
    db.prepare('PRAGMA user_version').get();
    return 'free';
  } catch (error) {
    if (isSqliteError(error, SQLITE_BUSY)) return 'held';
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
