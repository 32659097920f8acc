import test, { type ExecutionContext } from 'ava';

import { trackBatch } from '../../src/cli/output/live-progress.ts';
import type { BatchEvent } from '../../src/internal.ts';
import type { AciOptions } from '../helpers/archive.ts';
import { codesOf, openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';

/** Publishes images `example.com/NAME` with the names of what each depends on. */
async function tree(t: ExecutionContext, images: Readonly<Record<string, readonly string[]>>) {
  const origin = await startOrigin(t);
  const fetching = await openFetching(t, { discover: origin.discover });
  for (const [name, needs] of Object.entries(images)) await origin.publish(image(name, needs));
  const served = (name: string): number => origin.served(`/example.com/${name}-latest.aci`);
  return { ...fetching, origin, served };
}

function image(name: string, needs: readonly string[]): AciOptions {
  return { name: `example.com/${name}`, dependencies: needs.map((other) => ({ imageName: `example.com/${other}` })) };
}

test('a dependency of several images is fetched once for all apps of the batch', async (t) => {
  const graph = { a: ['b', 'c', 'd'], b: [], c: ['b', 'e'], d: ['b', 'e'], e: ['f'], f: [], other: ['c', 'f'] };
  const { fetchAll, served, listed, leftovers } = await tree(t, graph);
  const outcomes = await fetchAll(['example.com/a', 'example.com/other', 'example.com/f']);
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['fetched', 'fetched', 'fetched'],
  );
  for (const name of Object.keys(graph)) t.is(served(name), 1, name);
  t.is(outcomes[0]?.dependencies?.length, 3);
  t.is((await listed()).length, 7);
  t.deepEqual(await leftovers(), []);
});

test('a stored image is not fetched again, but its dependencies are checked', async (t) => {
  const graph = { a: ['b', 'c', 'd'], b: [], c: ['b', 'e'], d: ['b', 'e'], e: ['inspect'], inspect: [] };
  const { finder, fetchAll, served } = await tree(t, graph);
  await fetchAll(['example.com/b', 'example.com/inspect']);
  await fetchAll(['example.com/c'], { withDeps: false });
  t.is(served('e'), 0);
  const seen = new Map<string, string>();
  const onOutcome = ({ reference, status }: { reference: string; status: string }) => seen.set(reference, status);
  const { totals } = await finder().findImages([{ image: 'example.com/a' }], { onOutcome });
  t.deepEqual(
    Object.fromEntries([...seen].map(([reference, status]) => [reference.replace('example.com/', ''), status])),
    { a: 'fetched', b: 'present', c: 'present', d: 'fetched', e: 'fetched', inspect: 'present' },
  );
  t.like(totals, { images: 1, nodes: 6, fetched: 3, present: 3 });
  for (const name of Object.keys(graph)) t.is(served(name), 1, name);
});

test('an image on a dependency cycle is refused with the path of the cycle', async (t) => {
  const graph = { self: ['self'], a: ['b'], b: ['c', 'good'], c: ['a'], above: ['a', 'good'], good: [] };
  const { fetchAll } = await tree(t, graph);
  const asked = ['self', 'a', 'c', 'above', 'good'].map((name) => `example.com/${name}`);
  const [self, a, c, above, good] = await fetchAll(asked);
  t.like(self?.error, { code: 'DEPENDENCY_CYCLE', details: { path: ['example.com/self', 'example.com/self'] } });
  const path = ['a', 'b', 'c', 'a'].map((name) => `example.com/${name}`);
  for (const member of [a, c]) t.like(member?.error, { code: 'DEPENDENCY_CYCLE', details: { path } });
  t.deepEqual(self?.dependencies, [self?.imageID], 'its own image is there');
  t.deepEqual(c?.dependencies, [a?.imageID]);
  t.is(a?.dependencies?.length, 1);
  t.deepEqual(codesOf(above ?? {}), ['DEPENDENCY_FAILED', 'DEPENDENCY_CYCLE']);
  t.like(good, { status: 'fetched' });
});

test('a missing dependency fails all images above it with an error that names it, and no others', async (t) => {
  const graph = { top: ['middle', 'good'], middle: ['bottom'], bottom: ['missing'], good: [] };
  const { fetchAll, listed, origin } = await tree(t, graph);
  const [top, good] = await fetchAll(['example.com/top', 'example.com/good']);
  t.deepEqual(codesOf(top ?? {}), ['DEPENDENCY_FAILED', 'HTTP_STATUS']);
  t.deepEqual(top?.error?.details, { dependency: 'example.com/missing' });
  t.regex(top?.error?.message ?? '', /example\.com\/missing.*HTTP_STATUS/);
  t.like(good, { status: 'fetched' });
  t.is((await listed()).length, 4, 'what is good in itself stays');
  t.truthy(top?.imageID);

  await origin.publish(image('missing', []));
  const [again] = await fetchAll(['example.com/top']);
  t.like(again, { status: 'present' });
});

test('dependencies with other labels, sizes or pins are separate images', async (t) => {
  const { origin, fetchAll, served, listed } = await tree(t, {});
  const base = await origin.publish({ name: 'example.com/base' });
  const old = await origin.publish({ name: 'example.com/base', version: '1' });
  await origin.publish({
    name: 'example.com/app',
    dependencies: [
      { imageName: 'example.com/base' },
      { imageName: 'example.com/base', imageID: base.imageId },
      { imageName: 'example.com/base', labels: [{ name: 'version', value: '1' }], size: old.tar.length },
      { imageName: 'example.com/base', labels: [{ name: 'version', value: '1' }], imageID: old.imageId },
    ],
  });
  const [app] = await fetchAll(['example.com/app'], { jobs: 1 });
  t.deepEqual(app?.dependencies, [base.imageId, base.imageId, old.imageId, old.imageId]);
  t.is(served('base'), 1);
  t.is(origin.served(old.path), 1);
  t.is((await listed()).length, 3);
});

test('with failFast the first failure cancels all that has not ended, and every image has an outcome', async (t) => {
  const { finder, origin } = await tree(t, { good: [] });
  const silent = { handler: () => undefined };
  const first = await origin.publish({ name: 'example.com/first' }, silent);
  const last = await origin.publish({ name: 'example.com/last' }, silent);
  const apps = [{ image: first.url }, { image: 'example.com/missing' }, { image: last.url }];
  const { outcomes, totals } = await finder({ failFast: true }).findImages(apps);
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['cancelled', 'failed', 'cancelled'],
  );
  t.like(totals, { failed: 1, cancelled: 2 });
});

test('each node is added, started and finished once, between the beginning and the end of the batch', async (t) => {
  const { finder } = await tree(t, { a: ['b', 'c'], b: ['c'], c: [], loop: ['loop'] });
  const events: BatchEvent[] = [];
  const apps = ['a', 'a', 'c', 'loop', 'missing'].map((name) => ({ image: `example.com/${name}` }));
  await finder({ onEvent: (event) => events.push(event) }).findImages(apps);
  t.is(events[0]?.type, 'batch-started');
  t.is(events.at(-1)?.type, 'batch-finished');
  const of = (type: BatchEvent['type']) =>
    events.flatMap((event) => ('key' in event && event.type === type ? event.key : []));
  const added = of('node-added');
  t.is(added.length, 5);
  t.is(new Set(added).size, 5);
  for (const type of ['node-started', 'node-finished'] as const) t.deepEqual(of(type).sort(), [...added].sort(), type);
  const progress = trackBatch(() => 0);
  for (const event of events) progress.take(event);
  const { nodes, counts } = progress.state();
  const none = { present: 0, cancelled: 0, planned: 0, pushed: 0, skipped: 0 };
  t.deepEqual([nodes, counts], [5, { fetched: 3, failed: 2, ...none }], 'asked for twice: one node');
  for (const key of added) {
    const types = events.flatMap((event) => ('key' in event && event.key === key ? event.type : []));
    t.deepEqual([types[0], types[1], types.at(-1)], ['node-added', 'node-started', 'node-finished']);
  }
});
