import { rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ImageError } from '../errors.ts';
import { type Digest, imageBlobName, isDigest, registryBlobName } from '../image/digest.ts';
import { type ImageId, isImageId } from '../image/image-id.ts';
import { show } from '../image/show.ts';
import { errnoOf } from '../system/errno.ts';
import { hasName, namesIn, stampFile } from '../system/files.ts';
import { createStore, type StoreParts } from './create-store.ts';
import { isOfOtherTools, readOciIndex } from './index/oci-index.ts';
import type { Layout } from './index/protocol.ts';
import { emptyReader, openReader, type Reader } from './index/reader.ts';
import { openWriterHere, startWriter, type Writer } from './index-thread.ts';
import { makeLayout, requireShortPath, storeLayout } from './layout.ts';
import { indexSuffixes, requireLayout } from './misplaced.ts';
import { openReadOnly } from './open-read-only.ts';
import type { Store, StoreOptions } from './store.ts';
import { inStore, storeError } from './store-error.ts';

/**
 * Opens the store of a data directory: creates, migrates and cleans it if needed, or with `readOnly` leaves it as it
 * is.
 *
 * @throws STORE_BUSY, STORE_CORRUPT, STORE_FULL, STORE_READ_ONLY, STORE_VERSION, FILE_UNREADABLE
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { dir, readOnly = false, relisting = false, patience } = options;
  requireShortPath(dir);
  requireLayout(storeLayout(dir, 0), { writing: !readOnly });
  const { reader, parts } = await (readOnly ? openToRead(dir) : openToWrite(options));
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

async function openToWrite({ dir, writesLittle = false, workerFile }: StoreOptions): Promise<Opened> {
  const making = inStore(dir, () => makeLayout(dir));
  const writer = await inStore(dir, () => (writesLittle ? openWriterHere(making) : startWriter(making, workerFile)));
  const layout = await making;
  try {
    return { reader: await openReader(layout.index, layout.index), parts: { layout, writer } };
  } catch (error) {
    await writer.close();
    throw error;
  }
}

/** Whether blobs exist but the index that listed them does not. */
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

/** The writer of a read-only store. */
function refusingWriter(dir: string): Writer {
  const refuse = (): never => {
    throw new ImageError('STORE_READ_ONLY', `${show(dir, 1024)} is open for reading only`, { path: dir });
  };
  return { owner: refuse, request: () => Promise.try(refuse), close: () => Promise.resolve() };
}

/**
 * Renames a damaged index, so that a repair can begin. The store then opens with an empty one, and every blob is among
 * its `unreferenced()`, from where it can be ingested again. The index alone knew how images were verified and the
 * state of URLs: that is lost.
 *
 * @returns the new path of the damaged index.
 */
export async function setAsideIndex(dir: string, nowMs: number): Promise<string> {
  const { index } = storeLayout(dir, 0);
  const aside = `${index}.damaged-${nowMs}`;
  return inStore(index, async () => {
    // SQLite would apply a remaining log to the new index.
    let isThere = false;
    for (const suffix of indexSuffixes) isThere = (await renameIfThere(index + suffix, aside + suffix)) || isThere;
    if (!isThere) await rename(index, aside); // throws ENOENT
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

/** Whether there are blobs that an index must have listed. Blobs in a layout of another tool are not ours. */
async function holdsOurBlobs({ blobs, registryBlobs, ociIndex }: Layout): Promise<boolean> {
  if (hasName(blobs, imageBlobName)) return true;
  return hasName(registryBlobs, registryBlobName) && !(await isForeignIndex(ociIndex));
}

async function isForeignIndex(path: string): Promise<boolean> {
  const index = await readOciIndex(path).catch(() => undefined); // unknown
  return index !== undefined && isOfOtherTools(index);
}

/** Whether a repair has begun a new index, and has not yet listed again what it can. */
async function isRelisting(reader: Reader): Promise<boolean> {
  return (await reader.prepare('SELECT relisting FROM generation').get())?.['relisting'] === 1;
}

/** @param path - of the index. */
function lostIndex(path: string): ImageError<'STORE_CORRUPT'> {
  const message = `${show(path, 1024)} is lost or empty, and there are blobs: have them listed again with "longshore image verify --repair"`;
  return new ImageError('STORE_CORRUPT', message, { path });
}

/** A blob by the name of its file; its content has not been checked. */
export type LostBlob = { readonly id: ImageId | Digest; readonly size: number };

/**
 * The blobs of a store whose index cannot be read.
 *
 * @param path - the file that could not be read: unless it is the index, there are no lost blobs.
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
