import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';

import test from 'ava';

import { createFinder, openKeystore, openPool, openStore } from '../../src/index.ts';
import { openStore as openEngineStore } from '../../src/store/open-store.ts';
import { putImage, temporaryDirectory } from '../helpers/stored.ts';
import { until } from '../helpers/until.ts';

test('everything that is asked of a closed store, keystore, pool or finder is CLOSED, and to close again is not', async (t) => {
  const directory = await temporaryDirectory(t);
  const store = await openStore({ dir: join(directory, 'store') });
  const pool = openPool({ workers: 1 });
  const keystore = await openKeystore({ dirs: [directory] });
  const finder = createFinder({ store, keystore, pool });
  const later = createFinder({ store, pool, insecure: { image: true } });
  t.teardown(() => later.close());
  for (const opened of [finder, keystore, pool, store, finder, keystore, pool, store]) await opened.close();

  const id = `sha512-${'0'.repeat(128)}`;
  const to = join(directory, 'to');
  const calls: readonly (() => Promise<unknown>)[] = [
    () => Array.fromAsync(store.images()),
    () => store.image(id),
    () => store.manifest(id),
    () => store.verify(),
    () => store.export(id, { to }),
    () => store.extract(id, { to }),
    () => store.remove(id),
    () => store.collectGarbage(),
    () => store.prune({ keep: [] }),
    () => keystore.list(),
    () => keystore.trust('no key', { root: true }),
    () => keystore.distrust('0'.repeat(40), { root: true }),
    () => finder.findImage('example.com/app'),
    () => finder.findImages([]),
    () => finder.planImages([]),
    () => later.findImage('example.com/app'),
    () => later.importImages(new PassThrough()),
  ];
  for (const call of calls) await t.throwsAsync(call(), { code: 'CLOSED' }, String(call));
});

test.serial('an import into a closed store leaves nothing that keeps the process', async (t) => {
  const directory = await temporaryDirectory(t);
  const ports = () => process.getActiveResourcesInfo().filter((resource) => resource === 'MessagePort').length;
  const before = ports();
  const store = await openStore({ dir: join(directory, 'store') });
  await using finder = createFinder({ store, insecure: { image: true } });
  await store.close();
  const from = new PassThrough();
  await t.throwsAsync(finder.importImages(from), { code: 'CLOSED' });
  t.true(from.destroyed);
  await finder.close();
  await Promise.race([until(() => ports() <= before), setTimeout(5_000, undefined, { ref: false })]);
  t.true(ports() <= before);
});

test('an operation that runs when its store is closed ends with CLOSED', async (t) => {
  const dir = join(await temporaryDirectory(t), 'store');
  const engine = await openEngineStore({ dir });
  const { imageId } = await putImage(engine, { name: 'example.com/app' });
  await engine.close();
  const store = await openStore({ dir });
  const begun = Promise.withResolvers<void>();
  const never = new Writable({ highWaterMark: 1, write: () => begun.resolve() });
  const exporting = t.throwsAsync(store.export(imageId, { to: never }), { code: 'CLOSED' });
  await begun.promise;
  await store.close();
  await exporting;
});
