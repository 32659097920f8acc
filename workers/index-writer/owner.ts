import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, lutimesSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { createLock } from './lock.ts';
import type { Layout } from './protocol.ts';

/** A lock file that bears this prefix is not locked yet. */
export const unlockedPrefix = 'new-';
export const lockSuffix = '.lock';

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
