import { ImageError } from '../errors.ts';
import type { Layout } from '../../workers/index-writer/protocol.ts';
import { show } from '../image/show.ts';
import { createStore, type StoreParts } from './create-store.ts';
import { requireShortPath, storeLayout } from './layout.ts';
import { holdsOurBlobs, isRelisting, lostIndex } from './lost-index.ts';
import { makeLayout } from './make-layout.ts';
import { requireLayout } from './misplaced.ts';
import { openReadOnly } from './open-read-only.ts';
import { openReader } from './open-reader.ts';
import { emptyReader, type Reader } from './reader.ts';
import { inStore, storeError } from './store-error.ts';
import type { Store, StoreOptions } from './store.ts';
import { startWriter, type Writer } from './writer.ts';

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
