import type { DatabaseSync } from 'node:sqlite';

import type { Owners } from './owners.ts';
import type { MessageOf } from './protocol.ts';
import { withTransaction } from './transaction.ts';

const retryMs = 1_000;

export type ClaimMessage = MessageOf<'claim'> | MessageOf<'release'>;

export type Claims = {
  /** All at once. A release always succeeds, late if need be. @returns the claims that are ours now. */
  run(messages: readonly ClaimMessage[]): ReadonlySet<ClaimMessage>;
  /** Drops all that this process holds. */
  close(): void;
};

/**
 * The claims of this process among those of all. They need not survive a power cut, which ends every holder.
 * Within the process the main thread sees to it that a key is asked for once at a time.
 */
export function createClaims(db: DatabaseSync, owners: Owners, self: string): Claims {
  const holder = db.prepare('SELECT owner FROM claims WHERE key = ?');
  const insert = db.prepare('INSERT INTO claims (key, owner) VALUES (?, ?) ON CONFLICT DO NOTHING');
  const remove = db.prepare('DELETE FROM claims WHERE key = ? AND owner = ?');
  const removeAll = db.prepare('DELETE FROM claims WHERE owner = ?');
  /** Keys whose release failed, as on a full disk: others would wait for them until this process ends. */
  const unreleased = new Set<string>();

  /** By reading alone: waiters that poll must not queue for the write lock. */
  const isHeldByOther = (key: string): boolean => {
    const owner = holder.get(key)?.['owner'];
    return typeof owner === 'string' && owner !== self && owners.isAlive(owner);
  };

  const take = (key: string): boolean => {
    insert.run(key, self);
    const taken = holder.get(key)?.['owner'] === self;
    if (taken) unreleased.delete(key);
    return taken;
  };

  const releaseLate = (): void => {
    if (unreleased.size === 0) return;
    try {
      withTransaction(db, 'NORMAL', () => unreleased.forEach((key) => remove.run(key, self)));
      unreleased.clear();
    } catch {
      setTimeout(releaseLate, retryMs).unref();
    }
  };

  return {
    run(messages) {
      const taken = new Set<ClaimMessage>();
      const due = messages.filter(({ task, request: { key } }) => task === 'release' || !isHeldByOther(key));
      if (due.length === 0) return taken;
      try {
        withTransaction(db, 'NORMAL', () => {
          for (const message of due) {
            const { key } = message.request;
            if (message.task === 'release') remove.run(key, self);
            else if (take(key)) taken.add(message);
          }
        });
      } catch (error) {
        for (const { task, request } of due) if (task === 'release') unreleased.add(request.key);
        setTimeout(releaseLate, retryMs).unref();
        if (due.some(({ task }) => task === 'claim')) throw error;
      }
      return taken;
    },
    close: () => withTransaction(db, 'NORMAL', () => removeAll.run(self)),
  };
}
