import test from 'ava';

import type { ImageNode } from '../../src/coordinator/node.ts';
import { walk } from '../../src/coordinator/walk.ts';
import { parseReference } from '../../src/image/reference.ts';
import { defaultLimits } from '../../src/internal.ts';
import { codesOf, openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';
import { putImage } from '../helpers/stored.ts';

const needs = (...names: string[]) => names.map((name) => ({ imageName: `example.com/${name}` }));

test('a chain of 40 is fetched, also with one slot, and so is an image with 100 dependencies', async (t) => {
  const origin = await startOrigin(t);
  const { fetchAll, listed } = await openFetching(t, { discover: origin.discover });
  for (let at = 0; at < 40; at++) {
    await origin.publish({ name: `example.com/c${at}`, ...(at < 39 && { dependencies: needs(`c${at + 1}`) }) });
  }
  const leaves = Array.from({ length: 100 }, (_, at) => `w${at}`);
  for (const leaf of leaves) await origin.publish({ name: `example.com/${leaf}` });
  await origin.publish({ name: 'example.com/wide', dependencies: needs(...leaves) });
  const [chain] = await fetchAll(['example.com/c0'], { jobs: 1 });
  t.like(chain, { status: 'fetched' });
  const [wide] = await fetchAll(['example.com/wide']);
  t.is(wide?.dependencies?.length, 100);
  t.is((await listed()).length, 141);
  t.is(origin.requests.filter(({ url }) => url.endsWith('.aci')).length, 141);
});

test('at most 64 levels below a request are allowed, and the error is as short at the top as at the bottom', async (t) => {
  const { fetch, store } = await openFetching(t);
  for (let at = 0; at <= 65; at++) {
    await putImage(store, { name: `example.com/c${at}`, ...(at < 65 && { dependencies: needs(`c${at + 1}`) }) });
  }
  t.like(await fetch('example.com/c1', { storeOnly: true }), { status: 'present' });
  const { error } = await fetch('example.com/c0', { storeOnly: true });
  t.like(error, {
    code: 'DEPENDENCY_FAILED',
    details: { dependency: 'example.com/c64' },
    cause: { code: 'LIMIT_EXCEEDED', details: { limit: 'depth', maximum: 64 } },
  });
  t.true(JSON.stringify(error).length < 1000);
});

test('a batch has no more nodes than the limit, and counts each once', async (t) => {
  const { fetch, store } = await openFetching(t);
  await putImage(store, { name: 'example.com/root', dependencies: needs('a', 'b') });
  for (const name of ['a', 'b']) await putImage(store, { name: `example.com/${name}`, dependencies: needs('c') });
  await putImage(store, { name: 'example.com/c' });
  t.like(await fetch('example.com/root', { storeOnly: true, limits: { nodes: 4 } }), { status: 'present' });
  const { error } = await fetch('example.com/root', { storeOnly: true, limits: { nodes: 3 } });
  t.like(error, { code: 'DEPENDENCY_FAILED', cause: { code: 'LIMIT_EXCEEDED', details: { limit: 'nodes' } } });
});

test('an image with more dependencies than allowed is refused while it is read', async (t) => {
  const origin = await startOrigin(t);
  const { fetch, listed } = await openFetching(t);
  const many = Array.from({ length: 257 }, (_, at) => `d${at}`);
  const { url } = await origin.publish({ name: 'example.com/app', dependencies: needs(...many) });
  const outcome = await fetch(url);
  t.deepEqual(codesOf(outcome), ['LIMIT_EXCEEDED']);
  t.like(outcome.error?.details, { limit: 'dependencies', maximum: 256 });
  t.deepEqual(await listed(), []);
});

test('an endless tree is stopped quickly at the limit of nodes, and every node has an outcome', async (t) => {
  let visits = 0;
  const settled = new Map<string | undefined, number>();
  const reference = parseReference('example.com/root', { directory: '/', isFile: () => false });
  const before = process.threadCpuUsage();
  await walk<readonly string[]>(
    [{ index: 0, text: 'example.com/root', key: 'root', signature: undefined, reference }],
    {
      limits: { ...defaultLimits, nodes: 10_000 },
      failFast: false,
      nowMs: () => 0,
      // Each needs its like, new ones and one above it: endless, and full of cycles.
      visit: () => {
        visits += 1;
        return Promise.resolve([...Array.from({ length: 40 }, (_, at) => `n${visits}-${at}`), `n${visits >> 1}-0`]);
      },
      imageIdOf: () => undefined,
      onInvalid: () => undefined,
      dependenciesOf: (names) => names.map((name) => ({ imageName: `example.com/${name}`, labels: new Map() })),
      onSettled: ({ error }: ImageNode<readonly string[]>) => {
        settled.set(error?.code, (settled.get(error?.code) ?? 0) + 1);
      },
    },
    new AbortController().signal,
  );
  const all = [...settled.values()].reduce((sum, count) => sum + count, 0);
  t.is(all, visits);
  t.true(all <= 10_000 && all > 9_000, `${all} nodes`);
  t.true((settled.get('LIMIT_EXCEEDED') ?? 0) > 9_000);
  t.is(settled.get(undefined), undefined, 'nothing above a refused image is whole');
  t.true(process.threadCpuUsage(before).user < 60e6, 'seconds of this thread, whatever else the machine does');
});
