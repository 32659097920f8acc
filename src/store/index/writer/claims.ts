import type { DatabaseSync } from 'node:sqlite';

import type { MessageOf } from '../protocol.ts';
import type { Owner, Owners } from './owners.ts';
import { withTransaction } from './transaction.ts';

const retryMs = 1_000;
/** A process that holds claims gives a sign of life this often. */
const beatMs = 1_000;

export type ClaimMessage = MessageOf<'claim'> | MessageOf<'release'>;

export type Claims = {
  /**
   * Handles all messages in one transaction. A release always succeeds, if need be later. @returns the claims that are
   * ours now.
   */
  run(messages: readonly ClaimMessage[]): ReadonlySet<ClaimMessage>;
  /** How long the holder of a key has given no sign of life. */
  silentMs(key: string): number;
  /** Releases all claims of this process. */
  close(): void;
};

/**
 * The claims of this process, in a table that all processes share. A power cut ends every holder, so claims need not
 * survive it. The main thread asks for a key only once at a time.
 */
export function createClaims(db: DatabaseSync, owners: Owners, { name: self, beat }: Owner): Claims {
  const holder = db.prepare('SELECT owner FROM claims WHERE key = ?');
  const insert = db.prepare('INSERT INTO claims (key, owner) VALUES (?, ?) ON CONFLICT DO NOTHING');
  const remove = db.prepare('DELETE FROM claims WHERE key = ? AND owner = ?');
  const removeAll = db.prepare('DELETE FROM claims WHERE owner = ?');
  /**
   * Keys whose release failed, for instance on a full disk. Without a retry, others would wait for them until this
   * process ends.
   */
  const unreleased = new Set<string>();
  const held = new Set<string>();
  let beatTimer: NodeJS.Timeout | undefined;
  let lateTimer: NodeJS.Timeout | undefined;

  const keepBeating = (): void => {
    if (held.size > 0) {
      beatTimer ??= setInterval(beat, beatMs).unref();
      return;
    }
    clearInterval(beatTimer);
    beatTimer = undefined;
  };

  /** Only reads: processes that poll must not queue for the write lock. */
  const isHeldByOther = (key: string): boolean => {
    const owner = holder.get(key)?.['owner'];
    return typeof owner === 'string' && owner !== self && owners.isAlive(owner);
  };

  const take = (key: string): boolean => {
    insert.run(key, self);
    return holder.get(key)?.['owner'] === self;
  };

  const released = (key: string): void => {
    held.delete(key);
    unreleased.delete(key);
  };

  const releaseLate = (): void => {
    lateTimer = undefined;
    if (unreleased.size === 0) return;
    try {
      withTransaction(db, 'NORMAL', () => unreleased.forEach((key) => remove.run(key, self)));
      unreleased.forEach(released);
      keepBeating();
    } catch {
      retryLater();
    }
  };
  const retryLater = (): void => void (lateTimer ??= setTimeout(releaseLate, retryMs).unref());

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
        for (const { task, request } of due) if (task === 'release') released(request.key);
        for (const { request } of taken) {
          unreleased.delete(request.key);
          held.add(request.key);
        }
        keepBeating();
      } catch (error) {
        for (const { task, request } of due) if (task === 'release') unreleased.add(request.key);
        retryLater();
        if (due.some(({ task }) => task === 'claim')) throw error;
      }
      return taken;
    },
    silentMs: (key) => {
      const owner = holder.get(key)?.['owner'];
      return typeof owner === 'string' && owner !== self ? owners.silentMs(owner) : 0;
    },
    close: () => withTransaction(db, 'NORMAL', () => removeAll.run(self)),
  };
}
