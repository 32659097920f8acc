import test, { type ExecutionContext } from 'ava';

import { type ActionOptions, type BatchEvent, createFinder, type Finder, type Outcome } from '../../src/internal.ts';
import { codesOf, openFetching } from '../helpers/fetching.ts';
import { held } from '../helpers/held.ts';
import { startOrigin } from '../helpers/origin.ts';
import { openRegistryFetching } from '../helpers/registry-fetching.ts';

const name = 'example.com/app';

/** An image that needs another one, whose server fails once: all kinds of events happen. */
async function openEventful(t: ExecutionContext) {
  const origin = await startOrigin(t);
  const fetching = await openFetching(t, { discover: origin.discover });
  const top = await origin.publish({ name, size: 3_000_000, dependencies: [{ imageName: 'example.com/base' }] });
  const base = await origin.publish({ name: 'example.com/base' });
  const finding = (opened: Finder) => opened.findImages([{ image: name }, { image: 'ftp://nothing' }]);
  return { ...fetching, origin, top, base, finding };
}

const types = [
  'batch-started',
  'node-added',
  'node-started',
  'place-taken',
  'download-started',
  'download-progress',
  'download-finished',
  'ingested',
  'node-finished',
  'traffic',
  'batch-finished',
] as const satisfies readonly BatchEvent['type'][];

for (const type of types) {
  test(`what onEvent throws, or a promise that it returns rejects with, at ${type} ends its batch with that very error`, async (t) => {
    const { finder, finding, store, leftovers } = await openEventful(t);
    for (const how of ['throws', 'rejects'] as const) {
      const reason = new RangeError(type);
      const after: string[] = [];
      let isThrown = false;
      const onEvent = (event: BatchEvent): unknown => {
        if (isThrown) after.push(event.type);
        if (event.type !== type) return undefined;
        isThrown = true;
        if (how === 'throws') throw reason;
        return Promise.reject(reason); // whatever it is
      };
      const failed = await finding(finder({ onEvent })).then(
        () => 'resolved',
        (error: unknown) => error,
      );
      t.is(failed, reason);
      if (how === 'throws') t.deepEqual(after, [], 'nothing is said to who has failed');
      t.true((await leftovers()).every((path) => path.startsWith('downloads/')));
      for await (const { imageId } of store.images()) await store.remove(imageId);
    }
    const { totals } = await finding(finder());
    t.like(totals, { fetched: 2, failed: 1 });
    t.deepEqual(await leftovers(), []);
  });
}

test('what onOutcome throws ends findImages and planImages, and findImage has what onEvent throws; others go on', async (t) => {
  const { finder, origin, store } = await openEventful(t);
  const slow = await origin.publish({ name: 'example.com/slow', size: 2_000_000 });
  const body = held(slow.bytes);
  origin.routes[slow.path] = body;
  const opened = finder();
  const other = opened.findImages([{ image: slow.url }]);
  await body.asked;
  const reason = new Error('no more');
  const onOutcome = (): never => {
    throw reason;
  };
  const apps = () => [{ image: name }];
  t.is(await t.throwsAsync(opened.findImages(apps(), { onOutcome })), reason);
  t.is(await t.throwsAsync(opened.findImages([{ image: 'ftp://nothing' }], { onOutcome })), reason);
  t.is(await t.throwsAsync(opened.planImages(apps(), { onOutcome })), reason);
  t.is(await t.throwsAsync(opened.planImages(apps(), { onOutcome: () => Promise.reject(reason) })), reason);
  const onEvent = (event: BatchEvent): void => {
    if (event.type === 'node-started') throw reason;
  };
  t.is(await t.throwsAsync(finder({ onEvent }).findImage(name)), reason);
  const lock = { images: new Map(), frozen: false, onFound: () => Promise.reject(reason) };
  t.is(await t.throwsAsync(opened.findImages(apps(), { lock })), reason);
  body.release();
  t.like((await other).totals, { fetched: 1, failed: 0 });
  await opened.findImages(apps());
  const claim = await store.tryClaim(slow.url);
  t.truthy(claim, 'no claim is left behind');
  await claim?.release();
});

test('a promise that a callback returns is awaited before the batch ends', async (t) => {
  const { finder } = await openEventful(t);
  const done: string[] = [];
  const later = (what: string) => async () => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    done.push(what);
  };
  const onEvent = (event: BatchEvent): unknown => (event.type === 'batch-finished' ? later('event')() : undefined);
  const onOutcome = ({ index }: Outcome): unknown => (index === undefined ? undefined : later('outcome')());
  await finder({ onEvent }).findImages([{ image: name }], { onOutcome });
  t.deepEqual(done.toSorted(), ['event', 'outcome']);
});

test('a callback may close the finder, and wait for that', async (t) => {
  const { finder } = await openEventful(t);
  const opened: Finder = finder({
    onEvent: (event) => (event.type === 'node-started' ? opened.close() : undefined),
  });
  const { outcomes } = await opened.findImages([{ image: name }]);
  t.deepEqual(codesOf(outcomes[0] ?? {}), ['CANCELLED', 'CLOSED']);
});

test('an app that takes no image ID ends the batch with that error', async (t) => {
  const { finder } = await openEventful(t);
  await t.throwsAsync(finder().findImages([Object.freeze({ image: name })]), { instanceOf: TypeError });
});

test('a warning that is about no single batch ends all that run if the sink throws, and createFinder if none does', async (t) => {
  const { store, finder, registry, reference } = await openRegistryFetching(t);
  const reason = new Error('cannot write');
  const onEvent: ActionOptions['onEvent'] = (event) => {
    if (event.type === 'warning' && event.batch === undefined) throw reason;
  };
  const error = t.throws(() => createFinder({ store, onEvent, jobs: 100_000_000 })); // this process may open too few files for that
  t.is(error, reason);

  registry.putImage('app', '1');
  const path = '/v2/app/manifests/1';
  registry.routes[path] = { ...registry.routes[path], headers: { warning: '299 - "this registry moves"' } };
  const origin = await startOrigin(t);
  const { url } = await origin.publish({ name }, { delayMs: 600_000 });
  const opened = finder({ onEvent });
  const other = t.throwsAsync(opened.findImages([{ image: url }]));
  t.is(await t.throwsAsync(opened.findImages([{ image: reference('app:1') }])), reason);
  t.is(await other, reason);
});
