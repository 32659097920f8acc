import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import type { Layout } from './protocol.ts';

/** A directory that bears this prefix is not locked yet. */
export const unlockedPrefix = 'new-';

/** This process's directory in `tmp`, and the lock that tells other processes that it lives. */
export type Owner = { readonly name: string; close(): void };

/**
 * Makes the directory under a name that sweepers ignore, locks it and gives it its name. The kernel drops the lock
 * however the process ends.
 */
export function createOwner({ tmp, dirMode, fileMode }: Layout): Owner {
  const name = randomBytes(16).toString('hex');
  const unlocked = join(tmp, unlockedPrefix + name);
  const path = join(tmp, name);
  mkdirSync(unlocked);
  try {
    chmodSync(unlocked, dirMode);
    const lock = lockFile(join(unlocked, 'lock'), fileMode);
    renameSync(unlocked, path);
    return {
      name,
      close: () => {
        rmSync(path, { recursive: true, force: true });
        lock.close();
      },
    };
  } catch (error) {
    rmSync(unlocked, { recursive: true, force: true });
    throw error;
  }
}

function lockFile(path: string, mode: number): DatabaseSync {
  writeFileSync(path, '', { flag: 'wx' });
  chmodSync(path, mode);
  const db = new DatabaseSync(path, { timeout: 0 });
  db.exec('PRAGMA journal_mode = MEMORY'); // nothing is ever written, and the directory is about to move
  db.exec('BEGIN EXCLUSIVE');
  return db;
}
