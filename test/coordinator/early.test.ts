import { setTimeout as sleep } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import type { ActionOptions, BatchEvent, Outcome } from '../../src/internal.ts';
import { buildAci } from '../helpers/archive.ts';
import { codesOf, openFetching } from '../helpers/fetching.ts';
import { type Held, held } from '../helpers/held.ts';
import { startOrigin } from '../helpers/origin.ts';
import { until } from '../helpers/until.ts';

const named = (name: string) => `example.com/${name}`;
const needs = (...names: string[]) => names.map((name) => ({ imageName: named(name) }));

/** An origin whose large images keep their ends back, and a finder that tells what it does. */
async function slowly(t: ExecutionContext, options: Partial<ActionOptions> = {}) {
  const origin = await startOrigin(t);
  const fetching = await openFetching(t, { discover: origin.discover, jobsPerHost: 16 });
  const events: BatchEvent[] = [];
  const outcomes: Outcome[] = [];
  const opened = fetching.finder({ onEvent: (event) => events.push(event), ...options });

  const hold = async (name: string, dependencies: readonly string[]): Promise<Held> => {
    const { bytes } = await buildAci({ name: named(name), dependencies: needs(...dependencies), size: 3_000_000 });
    return (origin.routes[`/${named(name)}-latest.aci`] = held(bytes));
  };
  const small = (name: string, ...dependencies: string[]) =>
    origin.publish({ name: named(name), dependencies: needs(...dependencies) });
  const find = (names: readonly string[], signal?: AbortSignal) =>
    opened.findImages(
      names.map((name) => ({ image: named(name) })),
      { onOutcome: (outcome) => outcomes.push(outcome), ...(signal && { signal }) },
    );
  const told = () =>
    outcomes.map(({ reference, status }) => `${reference.replace('example.com/', '')} ${status}`).sort();
  const served = (name: string): number => origin.served(`/${named(name)}-latest.aci`);
  return { ...fetching, origin, events, hold, small, find, told, served };
}

test('a chain of 4 is fetched at the same time: each level is requested while those above are still being downloaded', async (t) => {
  const { hold, small, find, told, served, events } = await slowly(t);
  const chain = [await hold('a', ['b']), await hold('b', ['c']), await hold('c', ['d'])];
  await small('d');
  const finding = find(['a']);
  await until(() => served('d') === 1); // which the others, not one of them here, do not wait for
  t.is(served('d'), 1);
  t.false(
    events.some((event) => 'key' in event && event.key.includes('/b')),
    'nothing is told of what no verified image asks for',
  );
  for (const { release } of chain) release();
  const { outcomes, totals } = await finding;
  t.like(outcomes[0], { status: 'fetched' });
  t.is(outcomes[0]?.dependencies?.length, 1);
  t.like(totals, { images: 1, nodes: 4, fetched: 4 });
  t.true(totals.bytesDownloaded > 9_000_000);
  t.deepEqual(told(), ['a fetched', 'b fetched', 'c fetched', 'd fetched']);
  for (const name of ['a', 'b', 'c', 'd']) t.is(served(name), 1, name);
  for (const name of ['b', 'c', 'd']) {
    const of = events.filter((event) => 'key' in event && event.key.includes(`/${name}`)).map(({ type }) => type);
    t.deepEqual([of[0], of[1], of.at(-1)], ['node-added', 'node-started', 'node-finished'], name);
    t.true(of.indexOf('download-started') > 1 && of.includes('ingested'), name);
  }
});

test('prefetches of a bad image are aborted without an outcome; partial files and verified images are kept', async (t) => {
  const { hold, small, find, told, served, listed, leftovers, fetch } = await slowly(t);
  const [root, large] = [await hold('root', ['large', 'whole']), await hold('large', ['below'])];
  const [whole, below] = [await small('whole'), await small('below')];
  const finding = find(['root']);
  await large.asked;
  await until(() => served('whole') === 1 && served('below') === 1);
  await until(async () => (await listed()).length === 2);
  root.spoil();
  const { outcomes, totals } = await finding; // while the end of `large` is held back
  await large.cut;

  t.deepEqual(codesOf(outcomes[0] ?? {}), ['ARCHIVE_INVALID']);
  t.deepEqual(told(), ['root failed']);
  t.like(totals, { images: 1, nodes: 1, failed: 1, cancelled: 0, fetched: 0 });
  t.deepEqual([...(await listed())].sort(), [whole.imageId, below.imageId].sort());
  t.true((await leftovers()).every((path) => path.startsWith('downloads/')));

  large.release();
  const later = await fetch(named('large'));
  t.like(later, { status: 'fetched' });
  t.true((later.bytesDownloaded ?? Infinity) < 2_000_000, 'resumed');
});

test('an image with 256 dependencies prefetches 16 of them, and does not delay other images', async (t) => {
  const { hold, small, find, told, origin, events } = await slowly(t, { jobs: 4 });
  const many = Array.from({ length: 256 }, (_, at) => `d${at}`);
  for (const name of many) await small(name);
  const hostile = await hold('hostile', many);
  const honest = ['x', 'y', 'z'];
  for (const name of honest) await small(name, `${name}-base`);
  for (const name of honest) await small(`${name}-base`);
  const ahead = () => origin.requests.filter(({ url }) => /d\d+-latest\.aci$/.test(url)).length;
  const finding = find(['hostile', ...honest]);
  await until(() => ahead() === 16 && events.filter(({ type }) => type === 'node-finished').length === 6);
  await sleep(200);
  t.is(ahead(), 16);
  t.deepEqual(
    told(),
    honest.flatMap((name) => [`${name} fetched`, `${name}-base fetched`]),
  );
  hostile.release();
  t.like((await finding).totals, { images: 4, nodes: 263, fetched: 263 });
  t.is(ahead(), 256);
});

test('a prefetch is kept if a verified image asks for it, even if the first requester fails', async (t) => {
  const { hold, small, find, told, served, events } = await slowly(t);
  const [bad, base, good] = [await hold('bad', ['base']), await hold('base', ['below']), await hold('good', ['base'])];
  await small('below');
  const finding = find(['bad', 'good']);
  await base.asked;
  good.release();
  await until(() => events.some((event) => event.type === 'node-started' && event.reference === named('base')));
  bad.spoil();
  await until(() => told().length > 0);
  base.release();
  const { totals } = await finding;
  t.deepEqual(told(), ['bad failed', 'base fetched', 'below fetched', 'good fetched']);
  t.like(totals, { images: 2, nodes: 4, fetched: 3, failed: 1 });
  t.is(served('base'), 1);
  t.is(served('below'), 1);
});

test('an aborted batch ends at once, with its prefetches, and has outcomes of requests only', async (t) => {
  const { hold, find, told, leftovers, served } = await slowly(t);
  const [root, base] = [await hold('root', ['base', 'missing']), await hold('base', [])];
  const stop = new AbortController();
  const finding = find(['root'], stop.signal);
  await Promise.all([root.asked, base.asked]);
  await until(() => served('missing') === 1);
  stop.abort(new Error('enough'));
  t.like((await finding).totals, { images: 1, nodes: 1, cancelled: 1 }); // while the ends of both are held back
  await Promise.all([root.cut, base.cut]);
  t.deepEqual(told(), ['root cancelled']);
  t.true((await leftovers()).every((path) => path.startsWith('downloads/')));
});

test('a failed prefetch fails the image that needs it, and is not tried twice', async (t) => {
  const { hold, find, told, served } = await slowly(t);
  const root = await hold('root', ['missing', 'root']);
  const finding = find(['root']);
  await until(() => served('missing') === 1);
  root.release();
  const { outcomes } = await finding;
  t.is(served('missing'), 1);
  t.true(told().includes('missing failed'));
  t.is(codesOf(outcomes[0] ?? {})[0], 'DEPENDENCY_CYCLE');
});
