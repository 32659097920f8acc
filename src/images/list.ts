import type { Store, StoredImage } from '../store/store.ts';

export type SortField = 'importtime' | 'lastused' | 'name' | 'size';

export type ListRequest = {
  /** Default importtime, which streams; every other order holds all rows in memory. */
  readonly sort?: SortField;
  /** Default asc. */
  readonly order?: 'asc' | 'desc';
};

const compare: Readonly<Record<SortField, (a: StoredImage, b: StoredImage) => number>> = {
  importtime: (a, b) => a.importedAtMs - b.importedAtMs,
  lastused: (a, b) => a.lastUsedAtMs - b.lastUsedAtMs,
  name: (a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)),
  size: (a, b) => a.size - b.size,
};

/** The images of a store, sorted; equal ones in the order they were imported. */
export async function* listImages(
  store: Store,
  { sort = 'importtime', order = 'asc' }: ListRequest = {},
): AsyncGenerator<StoredImage> {
  if (sort === 'importtime' && order === 'asc') {
    yield* store.images();
    return;
  }
  const images = await Array.fromAsync(store.images());
  const sign = order === 'asc' ? 1 : -1;
  yield* images.sort((a, b) => sign * compare[sort](a, b));
}
