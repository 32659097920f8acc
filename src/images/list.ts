import type { Store } from '../store/store.ts';
import { imageEntry, registryEntry, type Entry } from './entry.ts';

export type SortField = 'importtime' | 'lastused' | 'name' | 'size';

export type ListRequest = {
  /** Default importtime, which streams; every other order holds all rows in memory. */
  readonly sort?: SortField;
  /** Default asc. */
  readonly order?: 'asc' | 'desc';
};

const compare: Readonly<Record<SortField, (a: Entry, b: Entry) => number>> = {
  importtime: (a, b) => a.importedAtMs - b.importedAtMs,
  lastused: (a, b) => a.lastUsedAtMs - b.lastUsedAtMs,
  name: (a, b) => (listedName(a) < listedName(b) ? -1 : Number(listedName(a) > listedName(b))),
  size: (a, b) => a.size - b.size,
};

function listedName(entry: Entry): string {
  return entry.kind === 'registry' ? entry.image.reference : entry.name;
}

/** What a store lists, images of registries too, sorted; equal ones in the order they were imported. */
export async function* listImages(
  store: Store,
  { sort = 'importtime', order = 'asc' }: ListRequest = {},
): AsyncGenerator<Entry> {
  if (sort === 'importtime' && order === 'asc') {
    yield* byImport(store);
    return;
  }
  const entries = await Array.fromAsync(byImport(store));
  const sign = order === 'asc' ? 1 : -1;
  yield* entries.sort((a, b) => sign * compare[sort](a, b));
}

/** Both kinds come by import time; they are merged as they come. */
async function* byImport(store: Store): AsyncGenerator<Entry> {
  const registryImages = store.registryImages()[Symbol.asyncIterator]();
  let next = await registryImages.next();
  for await (const image of store.images()) {
    for (; !next.done && next.value.importedAtMs < image.importedAtMs; next = await registryImages.next()) {
      yield registryEntry(next.value);
    }
    yield imageEntry(image);
  }
  for (; !next.done; next = await registryImages.next()) yield registryEntry(next.value);
}
