import { join } from 'node:path';

import { ImageError } from '../../src/errors.ts';
import { show } from '../../src/image/show.ts';
import type { FileStamp } from '../../src/system/stamp.ts';
import { intactStamp, type KnownBlob } from './blob-file.ts';
import { giveBack, placeFiles, type GroupContext, type Placed, type Placing } from './place-files.ts';
import type { MessageOf, RelistRequest } from './protocol.ts';
import { trySavepoint, withTransaction } from './transaction.ts';

export type GroupMessage =
  | Placing
  | MessageOf<'relist'>
  | MessageOf<'commitRegistryImage'>
  | MessageOf<'putRemote'>
  | MessageOf<'confirmBlob'>
  | MessageOf<'confirmDigest'>
  | MessageOf<'touch'>
  | MessageOf<'touchRegistryImages'>;

export type Failures = Map<GroupMessage, unknown>;

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
  const lists = messages.some(({ task }) => task === 'commit' || task === 'relist' || task === 'commitRegistryImage');
  try {
    withTransaction(context.db, lists ? 'FULL' : 'NORMAL', () => {
      placeFiles(context, placing, placed, failures);
      for (const message of messages) {
        if (failures.has(message)) continue;
        const failed = trySavepoint(context.db, () => writeMessage(context, message, placed.get(message)?.stamp));
        if (failed) failures.set(message, failed.error);
      }
    });
  } catch (error) {
    for (const message of messages) failures.set(message, failures.get(message) ?? error);
  }
  for (const message of placing) if (failures.has(message)) giveBack(context, message, placed.get(message));
  return failures;
}

function writeMessage(context: GroupContext, message: GroupMessage, stamp: FileStamp | undefined): void {
  const { layout, rows, registry, owner } = context;
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
    case 'relist':
      return relist(context, message.request);
    case 'commitRegistryImage': {
      const { row, blobs } = message.request;
      for (const digest of blobs) requireIntact(join(layout.registryBlobs, digest), registry.blob(digest));
      return registry.putImage(row, blobs, Date.now());
    }
    case 'putRemote':
      return rows.putRemote(message.request);
    case 'confirmBlob': {
      const { id, stamp: known } = message.request;
      const size = rows.sizeOf(id);
      if (size === undefined) return;
      requireIntact(join(layout.blobs, id), { ...known, size });
      return rows.setStamp(id, known);
    }
    case 'confirmDigest': {
      const { digest, stamp: known } = message.request;
      const blob = registry.blob(digest);
      if (!blob) return;
      requireIntact(join(layout.registryBlobs, digest), { ...known, size: blob.size });
      return registry.setBlobStamp(digest, known);
    }
    case 'touch':
      for (const id of message.request.ids) rows.setUsed(id, message.request.atMs);
      return;
    case 'touchRegistryImages':
      for (const reference of message.request.ids) registry.setUsed(reference, message.request.atMs);
  }
}

/** What somebody has listed meanwhile stays as it is: more may be known of it. */
function relist({ layout, rows, registry, owner }: GroupContext, request: RelistRequest): void {
  const { stamp } = request;
  if (request.kind === 'image') {
    const { id, size } = request.image;
    if (rows.sizeOf(id) !== undefined) return;
    requireIntact(join(layout.blobs, id), { ...stamp, size });
    rows.putImage(request.image, request.manifest, stamp, Date.now());
  } else {
    const { digest, size } = request;
    requireIntact(join(layout.registryBlobs, digest), { ...stamp, size });
    registry.putBlob(digest, size, stamp, owner);
  }
}

function requireIntact(path: string, known: KnownBlob | undefined): void {
  if (known && intactStamp(path, known)) return;
  const what = known ? 'is gone or has changed since it was verified' : 'is not among the verified blobs';
  throw new ImageError('STORE_CORRUPT', `${show(path, 1024)} ${what}`, { path });
}
