import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import { placeBlob, readStamp, requireStamp, syncDirectory, type BlobStamp } from './blob-file.ts';
import { discardBlob } from './discard-blob.ts';
import type { Layout, MessageOf } from './protocol.ts';
import type { RegistryRows } from './registry-rows.ts';
import type { Rows } from './rows.ts';
import { trySavepoint, withTransaction, withWriteLock } from './transaction.ts';

type Placing = MessageOf<'commit'> | MessageOf<'commitBlob'>;
export type GroupMessage =
  | Placing
  | MessageOf<'commitRegistryImage'>
  | MessageOf<'putRemote'>
  | MessageOf<'confirmBlob'>
  | MessageOf<'confirmDigest'>
  | MessageOf<'touch'>
  | MessageOf<'touchRegistryImages'>;

export type GroupContext = {
  readonly db: DatabaseSync;
  readonly layout: Layout;
  readonly rows: Rows;
  readonly registry: RegistryRows;
  /** The name of this process. */
  readonly owner: string;
};

export type Failures = Map<GroupMessage, unknown>;

type Target = { readonly directory: string; readonly path: string; readonly size: number };
/** Where a file lies now; `replaced` when there was one already, which another tool may have put there. */
type Placed = { readonly stamp: BlobStamp; readonly replaced: boolean };

/**
 * Writes a group as one transaction. Blobs are renamed under its lock, and their directories are synced once, before the
 * rows become visible: against gc a blob and its row are one. What fails by itself does not fail the others.
 *
 * @returns what failed, and why; nothing is left of it.
 */
export function writeGroup(context: GroupContext, messages: readonly GroupMessage[]): Failures {
  const failures: Failures = new Map();
  const placing = messages.filter((message) => message.task === 'commit' || message.task === 'commitBlob');
  const placed = new Map<GroupMessage, Placed>();
  // The row of a registry's blob may be lost until an image is made of it: then it is brought once more.
  const lists = messages.some(({ task }) => task === 'commit' || task === 'commitRegistryImage');
  try {
    withTransaction(context.db, lists ? 'FULL' : 'NORMAL', () => {
      placeFiles(context.layout, placing, placed, failures);
      for (const message of messages) {
        if (failures.has(message)) continue;
        const failed = trySavepoint(context.db, () => writeMessage(context, message, placed.get(message)?.stamp));
        if (failed) failures.set(message, failed.error);
      }
    });
  } catch (error) {
    for (const message of messages) failures.set(message, failures.get(message) ?? error);
  }
  for (const message of placing) if (failures.has(message)) cleanUp(context, message, placed.get(message));
  return failures;
}

function targetOf({ blobs, registryBlobs }: Layout, message: Placing): Target {
  const [directory, name, size] =
    message.task === 'commit'
      ? [blobs, message.request.image.id, message.request.image.size]
      : [registryBlobs, message.request.digest, message.request.size];
  return { directory, path: join(directory, name), size };
}

function placeFiles(
  layout: Layout,
  messages: readonly Placing[],
  placed: Map<GroupMessage, Placed>,
  failures: Failures,
): void {
  const directories = new Set<string>();
  for (const message of messages) {
    const { directory, path, size } = targetOf(layout, message);
    try {
      const replaced = existsSync(path);
      placed.set(message, { stamp: placeBlob(message.request.path, path, size), replaced });
      directories.add(directory);
    } catch (error) {
      failures.set(message, error);
    }
  }
  for (const directory of directories) syncDirectory(directory);
}

function writeMessage(
  { layout, rows, registry, owner }: GroupContext,
  message: GroupMessage,
  stamp: BlobStamp | undefined,
): void {
  switch (message.task) {
    case 'commit': {
      const { image, manifest, remote } = message.request;
      if (stamp) rows.putImage(image, manifest, stamp, Date.now());
      if (remote) rows.putRemote(remote);
      return;
    }
    case 'commitBlob': {
      const { digest, size } = message.request;
      if (stamp) registry.putBlob(digest, size, stamp, owner);
      return;
    }
    case 'commitRegistryImage': {
      const { row, blobs } = message.request;
      for (const digest of blobs) requireStamp(join(layout.registryBlobs, digest), registry.blob(digest));
      return registry.putImage(row, blobs, Date.now());
    }
    case 'putRemote':
      return rows.putRemote(message.request);
    case 'confirmBlob': {
      const { id } = message.request;
      const size = rows.sizeOf(id);
      if (size !== undefined) rows.setStamp(id, readStamp(join(layout.blobs, id), size));
      return;
    }
    case 'confirmDigest': {
      const { digest } = message.request;
      const blob = registry.blob(digest);
      if (blob) registry.setBlobStamp(digest, readStamp(join(layout.registryBlobs, digest), blob.size));
      return;
    }
    case 'touch':
      for (const id of message.request.ids) rows.setUsed(id, message.request.atMs);
      return;
    case 'touchRegistryImages':
      for (const reference of message.request.ids) registry.setUsed(reference, message.request.atMs);
  }
}

/** Gives the space of a failed commit back; what can't be removed now is left to gc. */
function cleanUp({ db, layout, rows, registry }: GroupContext, message: Placing, placed: Placed | undefined): void {
  try {
    rmSync(message.request.path, { force: true });
    if (message.task === 'commit') discardBlob(db, rows, layout.blobs, message.request.image.id);
    else if (placed?.replaced === false) {
      withWriteLock(db, () => {
        const { path } = targetOf(layout, message);
        if (!registry.blob(message.request.digest)) rmSync(path, { force: true });
      });
    }
  } catch {
    // The failure of the commit is what the caller must hear.
  }
}
