import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { createStore } from './create-store.ts';
import { storeLayout } from './layout.ts';
import { makeLayout } from './make-layout.ts';
import { openReadOnly } from './open-read-only.ts';
import { openReader } from './open-reader.ts';
import { inStore } from './store-error.ts';
import type { Store, StoreOptions } from './store.ts';
import { startWriter, type Writer } from './writer.ts';

/**
 * Opens the store of a data directory: made, migrated and swept as need be; or, with `readOnly`, as it is.
 *
 * @throws STORE_BUSY, STORE_CORRUPT, STORE_FULL, STORE_READ_ONLY, STORE_VERSION; FILE_UNREADABLE with `readOnly`
 */
export async function openStore({ dir, readOnly = false }: StoreOptions): Promise<Store> {
  if (readOnly) {
    const layout = storeLayout(dir, 0); // nothing will be made
    return createStore({ layout, readOnly, reader: await openReadOnly(layout.index), writer: refusingWriter(dir) });
  }
  const making = inStore(dir, () => makeLayout(dir));
  const writer = await startWriter(making);
  const layout = await making;
  try {
    return await createStore({ layout, readOnly, reader: await openReader(layout.index, layout.index), writer });
  } catch (error) {
    await writer.close();
    throw error;
  }
}

/** Of a store that is only read. */
function refusingWriter(dir: string): Writer {
  const refuse = (): never => {
    throw new ImageError('STORE_READ_ONLY', `${show(dir, 1024)} is open for reading only`, { path: dir });
  };
  return { owner: refuse, request: () => Promise.try(refuse), close: () => Promise.resolve() };
}
