import type { BigIntStats } from 'node:fs';
import { lstat, type FileHandle } from 'node:fs/promises';

import { errnoOf } from '../system/errno.ts';
import { openOwnFile } from '../system/files.ts';
import type { Store } from '../store/store.ts';
import { blobPathOf, corrupt, requireSound, type Blob, type ImagesContext } from './check-blob.ts';

/** A blob that was hashed and found good. `stamp` tells that very file from any other, and from a changed one. */
export type SoundBlob = Blob & { readonly stamp: string };

/** Hashes a blob, for bytes that cannot be taken back once they are written. @throws STORE_CORRUPT */
export async function hashBlob(context: ImagesContext, { id, size }: Blob, signal: AbortSignal): Promise<SoundBlob> {
  const stamp = stampOf(await orCorrupt(context.store, { id }, lstat(blobPathOf(context.store, id), { bigint: true })));
  await requireSound(context, { id, size }, signal);
  return { id, size, stamp };
}

/** Opens the very file that was hashed. @throws STORE_CORRUPT when it is not there any more. */
export async function openSound(store: Store, { id, stamp }: SoundBlob): Promise<FileHandle> {
  const file = await orCorrupt(store, { id }, openOwnFile(blobPathOf(store, id)));
  if (stampOf(await file.stat({ bigint: true })) === stamp) return file;
  await file.close();
  throw corrupt(store, { id }, 'wrong hash');
}

async function orCorrupt<T>(store: Store, blob: Pick<Blob, 'id'>, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw corrupt(store, blob, errnoOf(error) === 'ENOENT' ? 'missing' : 'unreadable');
  }
}

function stampOf({ size, mtimeNs, ctimeNs, ino }: BigIntStats): string {
  return `${size} ${mtimeNs} ${ctimeNs} ${ino}`;
}
