import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { exportImages } from '../../src/export/export-images.ts';
import type { Store } from '../../src/internal.ts';
import { layoutOfImages, type MadeImage, makeImage, tarOf } from '../helpers/carried.ts';
import { openImporting } from '../helpers/importing.ts';
import { sharedPool } from '../helpers/shared-pool.ts';

const count = 200;

test('200 images go from store to store in a bundle, an OCI archive and an archive of docker, with the same digests', async (t) => {
  const made: Record<string, MadeImage> = {};
  for (let index = 0; index < count; index += 1) made[`example.com/app:${index}`] = await makeImage(`content ${index}`);
  const first = await openImporting(t);
  await first.take(await tarOf(layoutOfImages(made)));
  const listed = await first.listed();
  t.deepEqual(listed, Object.fromEntries(Object.entries(made).map(([name, { manifest }]) => [name, manifest.digest])));

  let names = 0;
  const write = async (store: Store, format: 'bundle' | 'oci-archive' | 'docker-archive'): Promise<string> => {
    const target = join(first.directory, `${format}-${(names += 1)}.tar`);
    const selection = { images: await Array.fromAsync(store.registryImages()), archives: [] };
    const request = { selection, format, target: { kind: 'file', target, overwrite: false } } as const;
    await exportImages({ store, pool: sharedPool }, request, new AbortController().signal);
    return target;
  };
  for (const format of ['bundle', 'oci-archive'] as const) {
    const path = await write(first.store, format);
    const other = await openImporting(t);
    await other.take(path);
    t.deepEqual(await other.listed(), listed, format);
    t.deepEqual(await other.blobs(), await first.blobs(), format);
    t.true((await readFile(await write(other.store, format))).equals(await readFile(path)), format);
  }
  const docker = await openImporting(t);
  await docker.take(await write(first.store, 'docker-archive'));
  t.deepEqual(Object.keys(await docker.listed()).sort(), Object.keys(listed).sort());
});
