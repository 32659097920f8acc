import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import { clearDirectory, nothing, type Cleared } from './clear-directory.ts';
import { isLocked } from './is-locked.ts';
import { unlockedPrefix } from './owner.ts';
import type { Layout } from './protocol.ts';
import { withTransaction } from './transaction.ts';

/** An owner found alive is believed for so long: many waiters ask about the same one. */
const trustedMs = 20;
/** A directory that has been without its lock for so long will not get it. */
const unlockedMs = 10 * 60_000;
const ownerName = /^(new-)?[0-9a-f]{32}$/;

/** What the processes of one store know of each other. */
export type Owners = {
  /** False once the owner is dead, and its claims and its directory are gone. */
  isAlive(owner: string): boolean;
  /** Removes what every dead owner left, or only counts it. */
  sweep(options: { readonly nowMs: number; readonly dryRun: boolean }): Cleared;
};

export function createOwners(db: DatabaseSync, { tmp }: Layout, self: string): Owners {
  const dropClaims = db.prepare('DELETE FROM claims WHERE owner = ?');
  const claimants = db.prepare('SELECT DISTINCT owner FROM claims');
  const aliveUntil = new Map<string, number>();

  /** Undefined when it lives. Several processes may do this at once: names are never used again. */
  const bury = (owner: string, dryRun: boolean): Cleared | undefined => {
    const directory = ownerName.test(owner) ? join(tmp, owner) : undefined; // a damaged row must not lead elsewhere
    if (directory !== undefined && isLocked(join(directory, 'lock'))) return undefined;
    // The files first: on a full disk the claims can only be dropped once there is room again.
    const left = directory === undefined ? nothing : clearDirectory(directory, dryRun);
    if (!dryRun) withTransaction(db, 'NORMAL', () => dropClaims.run(owner));
    return left;
  };

  const isAlive = (owner: string): boolean => {
    if (owner === self || (aliveUntil.get(owner) ?? 0) > performance.now()) return true;
    aliveUntil.delete(owner);
    if (bury(owner, false)) return false;
    aliveUntil.set(owner, performance.now() + trustedMs);
    return true;
  };

  const isSweepable = (directory: string, nowMs: number): boolean => {
    if (!ownerName.test(directory) || directory === self) return false;
    if (!directory.startsWith(unlockedPrefix)) return true;
    const stat = statSync(join(tmp, directory), { throwIfNoEntry: false });
    return stat !== undefined && nowMs - stat.mtimeMs > unlockedMs;
  };

  return {
    isAlive,
    sweep({ nowMs, dryRun }) {
      const total = { files: 0, bytes: 0 };
      for (const directory of readdirSync(tmp)) {
        const left = isSweepable(directory, nowMs) ? bury(directory, dryRun) : undefined;
        total.files += left?.files ?? 0;
        total.bytes += left?.bytes ?? 0;
      }
      if (!dryRun) for (const { owner } of claimants.all()) isAlive(String(owner));
      return total;
    },
  };
}
