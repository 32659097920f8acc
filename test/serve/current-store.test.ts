import { rename } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { followStore } from '../../src/serve/current-store.ts';
import { openStore, setAsideIndex } from '../../src/store/open-store.ts';
import { storeDirectory } from '../helpers/blob.ts';
import { putRegistryImage } from '../helpers/registry-image.ts';
import { serve } from '../helpers/serving.ts';
import { until } from '../helpers/until.ts';

const path = '/v2/library/app/manifests/1';
const reference = 'docker.io/library/app:1';

test('a store that is made later, and one whose index is another one, is opened again', async (t) => {
  const dir = await storeDirectory(t);
  const server = await serve(t, dir);
  const statusIs = (status: number) => until(async () => (await server.ask(path)).status === status);
  await statusIs(404);
  const first = await openStore({ dir });
  await putRegistryImage(first, { reference });
  await statusIs(200);
  await first.close();

  await setAsideIndex(dir, 1);
  const second = await openStore({ dir, relisting: true });
  await statusIs(503); // as every command refuses it until it is repaired
  t.regex(server.warnings[0] ?? '', /STORE_CORRUPT/);
  await second.endRelisting();
  await statusIs(404);
  await putRegistryImage(second, { reference });
  await statusIs(200);
  await second.close();
});

test('a store is closed once nobody uses it any more', async (t) => {
  const dir = await storeDirectory(t);
  await (await openStore({ dir })).close();
  const index = join(dir, 'index.sqlite');
  const opened: Awaited<ReturnType<typeof openStore>>[] = [];
  const view = await followStore(index, async () => {
    const store = await openStore({ dir, readOnly: true });
    opened.push(store);
    return store;
  });
  const held = Promise.withResolvers<void>();
  const using = view.use(async (store) => {
    await held.promise;
    return store.findRegistryImage(reference);
  });
  await rename(index, `${index}.old`);
  await (await openStore({ dir })).close();
  await until(async () => (await view.use((store) => Promise.resolve(store))) !== opened[0]);
  t.false(opened[0]?.closed.aborted);
  held.resolve();
  t.is(await using, undefined);
  await until(() => opened[0]?.closed.aborted === true);
  await view[Symbol.asyncDispose]();
  t.true(opened.every(({ closed }) => closed.aborted));
});
