import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import { placeBlob, readStamp, syncDirectory, type BlobStamp } from './blob-file.ts';
import { discardBlob } from './discard-blob.ts';
import type { MessageOf } from './protocol.ts';
import type { Rows } from './rows.ts';
import { trySavepoint, withTransaction } from './transaction.ts';

type Commit = MessageOf<'commit'>;
export type GroupMessage = Commit | MessageOf<'putRemote'> | MessageOf<'confirmBlob'> | MessageOf<'touch'>;

export type Failures = Map<GroupMessage, unknown>;

/**
 * Writes a group as one transaction. Blobs are renamed under its lock, and their directory is synced once, before the
 * rows become visible: against gc a blob and its row are one. What fails by itself does not fail the others.
 *
 * @returns what failed, and why; nothing is left of it.
 */
export function writeGroup(db: DatabaseSync, rows: Rows, blobs: string, messages: readonly GroupMessage[]): Failures {
  const failures: Failures = new Map();
  const commits = messages.filter((message) => message.task === 'commit');
  try {
    withTransaction(db, commits.length > 0 ? 'FULL' : 'NORMAL', () => {
      const stamps = placeBlobs(blobs, commits, failures);
      for (const message of messages) {
        if (failures.has(message)) continue;
        const failed = trySavepoint(db, () => writeMessage(rows, blobs, message, stamps));
        if (failed) failures.set(message, failed.error);
      }
    });
  } catch (error) {
    for (const message of messages) failures.set(message, failures.get(message) ?? error);
  }
  for (const commit of commits) if (failures.has(commit)) cleanUp(db, rows, blobs, commit);
  return failures;
}

function placeBlobs(blobs: string, commits: readonly Commit[], failures: Failures): Map<GroupMessage, BlobStamp> {
  const stamps = new Map<GroupMessage, BlobStamp>();
  for (const commit of commits) {
    const { path, image } = commit.request;
    try {
      stamps.set(commit, placeBlob(path, join(blobs, image.id), image.size));
    } catch (error) {
      failures.set(commit, error);
    }
  }
  if (stamps.size > 0) syncDirectory(blobs);
  return stamps;
}

function writeMessage(
  rows: Rows,
  blobs: string,
  message: GroupMessage,
  stamps: ReadonlyMap<GroupMessage, BlobStamp>,
): void {
  switch (message.task) {
    case 'commit': {
      const { image, manifest, remote } = message.request;
      const stamp = stamps.get(message);
      if (stamp) rows.putImage(image, manifest, stamp, Date.now());
      if (remote) rows.putRemote(remote);
      return;
    }
    case 'putRemote':
      return rows.putRemote(message.request);
    case 'confirmBlob': {
      const { id } = message.request;
      const size = rows.sizeOf(id);
      if (size !== undefined) rows.setStamp(id, readStamp(join(blobs, id), size));
      return;
    }
    case 'touch':
      for (const id of message.request.ids) rows.setUsed(id, message.request.atMs);
  }
}

/** Gives the space of a failed commit back; what can't be removed now is left to gc. */
function cleanUp(db: DatabaseSync, rows: Rows, blobs: string, { request: { path, image } }: Commit): void {
  try {
    rmSync(path, { force: true });
    discardBlob(db, rows, blobs, image.id);
  } catch {
    // The failure of the commit is what the caller must hear.
  }
}
