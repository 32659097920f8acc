import { join } from 'node:path';

import { ImageError } from '../../../errors.ts';
import { show } from '../../../image/show.ts';
import type { FileStamp } from '../../../system/files.ts';
import type { MessageOf, RelistRequest } from '../protocol.ts';
import {
  giveBack,
  type GroupContext,
  intactStamp,
  type Placed,
  placeFiles,
  type Placing,
  removeFile,
} from './place-files.ts';
import type { KnownBlob } from './registry-rows.ts';
import { isInDoubt, trySavepoint, withTransaction } from './transaction.ts';

/** A group waits for at most this long, unless it must, and has at most this many items. */
const maxWaitMs = 20;
const maxItems = 250;

type Group<T> = {
  add(item: T): void;
  /** Runs the items collected so far. */
  flush(): void;
};

/**
 * Collects items and runs them together. After a pause, the first item runs at once, with those that arrived in the
 * same turn. Under load a group runs every 20 ms, so that many items share one sync of the disk.
 *
 * @param mustWait - asked before a group runs.
 */
export function createGroup<T>(run: (items: readonly T[]) => void, mustWait = (): boolean => false): Group<T> {
  let items: T[] = [];
  let timer: NodeJS.Timeout | undefined;
  let ranAt = -Infinity;

  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (items.length === 0) return;
    const due = items;
    items = [];
    run(due);
    ranAt = performance.now();
  };

  const flushWhenFree = (): void => {
    if (mustWait()) timer = setTimeout(flushWhenFree, maxWaitMs);
    else flush();
  };

  return {
    flush,
    add(item) {
      items.push(item);
      if (items.length !== maxItems) {
        timer ??= setTimeout(flushWhenFree, Math.max(0, ranAt + maxWaitMs - performance.now()));
      } else {
        clearTimeout(timer);
        flushWhenFree();
      }
    },
  };
}

export type GroupMessage =
  | Placing
  | MessageOf<'relist'>
  | MessageOf<'commitRegistryImage'>
  | MessageOf<'putRemote'>
  | MessageOf<'putAnswer'>
  | MessageOf<'confirmBlob'>
  | MessageOf<'confirmDigest'>
  | MessageOf<'touch'>
  | MessageOf<'touchRegistryImages'>;

type Failures = Map<GroupMessage, unknown>;

/**
 * Writes a group as one transaction. Blobs are renamed under its lock, and their directories are synced once before the
 * rows become visible, so gc sees a blob and its row together or not at all. A message that fails does not fail the
 * others.
 *
 * @returns the error of each message that failed; its changes are undone.
 */
export function writeGroup(context: GroupContext, messages: readonly GroupMessage[]): Failures {
  const failures: Failures = new Map();
  const placing = messages.filter((message) => message.task === 'commit' || message.task === 'commitBlob');
  const placed = new Map<GroupMessage, Placed>();
  // A power cut may lose the row of a registry blob before an image needs it: then it is downloaded once more.
  const lists = messages.some(({ task }) => task === 'commit' || task === 'relist' || task === 'commitRegistryImage');
  /** Whether files of ours may be in their places, and none of them in the index. */
  let areOurs = false;
  try {
    withTransaction(context.db, lists ? 'FULL' : 'NORMAL', () => {
      areOurs = true;
      placeFiles(context, placing, placed, failures);
      for (const message of messages) {
        if (failures.has(message)) continue;
        const failed = trySavepoint(context.db, () => writeMessage(context, message, placed.get(message)?.stamp));
        if (failed) failures.set(message, failed.error);
      }
    });
  } catch (error) {
    areOurs &&= !isInDoubt(error);
    for (const message of messages) failures.set(message, failures.get(message) ?? error);
  }
  for (const message of placing) {
    if (!failures.has(message)) continue;
    removeFile(message);
    if (areOurs) giveBack(context, message, placed.get(message)); // else who has the lock may keep them, or the log lists them
  }
  return failures;
}

function writeMessage(context: GroupContext, message: GroupMessage, stamp: FileStamp | undefined): void {
  const { layout, rows, registry, owner } = context;
  switch (message.task) {
    case 'commit': {
      const { image, manifest, remote, proofs } = message.request;
      const { archive } = image;
      if (archive !== null) requireIntact(join(layout.registryBlobs, archive), registry.blob(archive));
      const isProven = proofs.some(({ covers }) => covers === `sha256:${archive}`);
      if (stamp) rows.putImage(image, manifest, stamp, Date.now(), isProven);
      if (stamp) rows.putProofs(image.id, proofs);
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
      const { row, blobs, proofs } = message.request;
      for (const digest of blobs) requireIntact(join(layout.registryBlobs, digest), registry.blob(digest));
      registry.putImage(row, blobs, Date.now());
      return rows.putProofs(row.reference, proofs);
    }
    case 'putRemote':
      return rows.putRemote(message.request);
    case 'putAnswer':
      return rows.putAnswer(message.request);
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

/** An image or blob that is listed by now is not replaced: that row may know more. */
function relist({ layout, rows, registry, owner }: GroupContext, request: RelistRequest): void {
  const { stamp } = request;
  if (request.kind === 'image') {
    const { id, size } = request.image;
    if (rows.sizeOf(id) !== undefined) return;
    requireIntact(join(layout.blobs, id), { ...stamp, size });
    rows.putImage(request.image, request.manifest, stamp, Date.now());
    return;
  }
  const [digest, size] =
    request.kind === 'archive' ? [request.archive, request.archiveSize] : [request.digest, request.size];
  requireIntact(join(layout.registryBlobs, digest), { ...stamp, size });
  registry.putBlob(digest, size, stamp, owner);
  if (request.kind === 'archive') rows.putArchive(request.id, request);
}

function requireIntact(path: string, recorded: KnownBlob | undefined): void {
  if (recorded && intactStamp(path, recorded)) return;
  const what = recorded ? 'is gone or has changed since it was verified' : 'is not among the verified blobs';
  throw new ImageError('STORE_CORRUPT', `${show(path, 1024)} ${what}`, { path });
}
