import { rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ImageError } from '../errors.ts';
import type { Layout } from './index/protocol.ts';
import { show } from '../image/show.ts';
import { createStore, type StoreParts } from './create-store.ts';
import { requireShortPath, storeLayout, makeLayout } from './layout.ts';
import { requireLayout, indexSuffixes } from './misplaced.ts';
import { openReadOnly } from './open-read-only.ts';
import { openReader, emptyReader, type Reader } from './index/reader.ts';
import { inStore, storeError } from './store-error.ts';
import type { Store, StoreOptions } from './store.ts';
import { startWriter, type Writer } from './index-thread.ts';
import { errnoOf } from '../system/errno.ts';
import { imageBlobName, registryBlobName, isDigest, type Digest } from '../image/digest.ts';
import { isImageId, type ImageId } from '../image/image-id.ts';
import { hasName, namesIn, stampFile } from '../system/files.ts';
import { isOfOtherTools, readOciIndex } from './index/oci-index.ts';

/**
 * Opens the store of a data directory: made, migrated and swept as need be; or, with `readOnly`, as it is.
 *
 * @throws STORE_BUSY, STORE_CORRUPT, STORE_FULL, STORE_READ_ONLY, STORE_VERSION, FILE_UNREADABLE
 */
export async function openStore({ dir, readOnly = false, relisting = false, patience }: StoreOptions): Promise<Store> {
  requireShortPath(dir);
  requireLayout(storeLayout(dir, 0), { writing: !readOnly });
  const { reader, parts } = await (readOnly ? openToRead(dir) : openToWrite(dir));
  try {
    if (!relisting && (await isLost(reader, parts.layout))) throw lostIndex(parts.layout.index);
    return await createStore({ ...parts, readOnly, reader, patience });
  } catch (error) {
    await reader.close();
    await parts.writer.close();
    throw storeError(error, parts.layout.index);
  }
}

type Opened = { readonly reader: Reader; readonly parts: Pick<StoreParts, 'layout' | 'writer'> };

async function openToRead(dir: string): Promise<Opened> {
  const layout = storeLayout(dir, 0); // nothing will be made
  return { reader: await openReadOnly(layout.index), parts: { layout, writer: refusingWriter(dir) } };
}

async function openToWrite(dir: string): Promise<Opened> {
  const making = inStore(dir, () => makeLayout(dir));
  const writer = await inStore(dir, () => startWriter(making));
  const layout = await making;
  try {
    return { reader: await openReader(layout.index, layout.index), parts: { layout, writer } };
  } catch (error) {
    await writer.close();
    throw error;
  }
}

/** An index that lists nothing yet where blobs lie: whatever listed them is not there. */
async function isLost(reader: Reader, layout: Layout): Promise<boolean> {
  if (reader !== emptyReader) return isRelisting(reader);
  if (!(await holdsOurBlobs(layout))) return false;
  const again = await openReadOnly(layout.index); // another process may just have made the store
  try {
    return again === emptyReader || (await isRelisting(again));
  } finally {
    await again.close();
  }
}

/** Of a store that is only read. */
function refusingWriter(dir: string): Writer {
  const refuse = (): never => {
    throw new ImageError('STORE_READ_ONLY', `${show(dir, 1024)} is open for reading only`, { path: dir });
  };
  return { owner: refuse, request: () => Promise.try(refuse), close: () => Promise.resolve() };
}

/**
 * Moves a damaged index out of the way, for a repair: the store then opens with an empty one, and every blob is among
 * its `unreferenced()`, from where it can be ingested again. What is only in the index is lost: how images were verified
 * and what is remembered of URLs.
 *
 * @returns where the index is now.
 */
export async function setAsideIndex(dir: string, nowMs: number): Promise<string> {
  const { index } = storeLayout(dir, 0);
  const aside = `${index}.damaged-${nowMs}`;
  return inStore(index, async () => {
    // A log that stays would be played into the new index.
    let isThere = false;
    for (const suffix of indexSuffixes) isThere = (await renameIfThere(index + suffix, aside + suffix)) || isThere;
    if (!isThere) await rename(index, aside); // which says so
    return aside;
  });
}

async function renameIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return false;
  }
}

/** Whether blobs lie there that an index must have listed: those of a layout that another tool made are none. */
async function holdsOurBlobs({ blobs, registryBlobs, ociIndex }: Layout): Promise<boolean> {
  if (hasName(blobs, imageBlobName)) return true;
  return hasName(registryBlobs, registryBlobName) && !(await isForeignIndex(ociIndex));
}

async function isForeignIndex(path: string): Promise<boolean> {
  const index = await readOciIndex(path).catch(() => undefined); // it cannot be told
  return index !== undefined && isOfOtherTools(index);
}

/** Whether a repair has begun the index anew, and has not yet listed again what it can. */
async function isRelisting(reader: Reader): Promise<boolean> {
  return (await reader.prepare('SELECT relisting FROM generation').get())?.['relisting'] === 1;
}

/** @param path - of the index. */
function lostIndex(path: string): ImageError<'STORE_CORRUPT'> {
  const message = `${show(path, 1024)} is lost or empty, and there are blobs: have them listed again with "longshore image verify --repair"`;
  return new ImageError('STORE_CORRUPT', message, { path });
}

/** A blob by what its file is called; nothing says that it is that. */
export type LostBlob = { readonly id: ImageId | Digest; readonly size: number };

/**
 * The blobs of a store whose index cannot be read.
 *
 * @param path - what could not be read: there are none unless it is the index.
 */
export async function* lostBlobs(path: string): AsyncGenerator<LostBlob> {
  const { index, blobs, registryBlobs } = storeLayout(dirname(path), 0);
  if (path !== index) return;
  for (const [directory, prefix] of [
    [blobs, 'sha512-'],
    [registryBlobs, 'sha256:'],
  ] as const) {
    for await (const name of namesIn(directory)) {
      const id = prefix + name;
      if (!isImageId(id) && !isDigest(id)) continue;
      const found = stampFile(join(directory, name));
      if (found) yield { id, size: found.size };
    }
  }
}
