import { join } from 'node:path';

import { openStore } from '../../src/store/open-store.ts';
import type { Commit } from '../../src/store/store.ts';
import { prepareBlob } from '../../test/helpers/blob.ts';
import type { Piece } from './piece.ts';

const count = 250;

/** Simultaneous commits, which form groups, and simultaneous lookups, in a separate store. */
export async function storeIndex(resources: AsyncDisposableStack, directory: string): Promise<readonly Piece[]> {
  const store = resources.use(await openStore({ dir: join(directory, 'store') }));
  let made = 0;
  let commits: readonly Commit[] = [];
  const prepare = async (): Promise<void> => {
    commits = await Promise.all(
      Array.from({ length: count }, () => prepareBlob(store, { name: nameOf(made++), labels: { version: '1.0.0' } })),
    );
  };
  const commit = () => Promise.all(commits.map((one) => store.commit(one)));
  await prepare();
  await commit();

  const labels = new Map([['version', '1.0.0']]);
  const lookUp = async (): Promise<void> => {
    const found = await Promise.all(Array.from({ length: count }, (_, at) => store.findImage(nameOf(at), labels)));
    if (found.includes(undefined)) throw new Error('an image that was committed is not found');
  };
  return [
    { name: 'index: commits, durable', unit: 'image', count, before: prepare, run: commit },
    { name: 'index: lookups by name', unit: 'name', count, run: lookUp },
  ];
}

function nameOf(index: number): string {
  return `example.com/image-${index}`;
}
