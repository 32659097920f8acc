import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import {
  type App,
  type BatchCall,
  createFetcher,
  createFinder,
  type FetchCall,
  hasCode,
  openPool,
  type PlanCall,
  type Transport,
} from '../../src/index.ts';
import { startOrigin } from '../helpers/origin.ts';
import { openPublic } from '../helpers/public-store.ts';
import { refusal, startRegistry } from '../helpers/registry.ts';

const insecure = { image: true };

test('findImages takes references as strings, and entries, whose imageID it sets', async (t) => {
  const { store } = await openPublic(t);
  const origin = await startOrigin(t);
  const [a, b] = [await origin.publish({ name: 'example.com/a' }), await origin.publish({ name: 'example.com/b' })];
  await using pool = openPool({ workers: 1 });
  await using finder = createFinder({ store, pool, insecure, discover: origin.discover });

  const entry: App = { image: 'example.com/b', type: undefined, imageID: undefined };
  const { outcomes, totals } = await finder.findImages(new Set(['example.com/a', entry]));
  t.deepEqual(
    outcomes.map(({ status, imageID }) => [status, imageID]),
    [
      ['fetched', a.imageId],
      ['fetched', b.imageId],
    ],
  );
  t.is(entry.imageID, b.imageId);
  t.is(totals.images, 2);
  t.is(await finder.findImage('example.com/a'), a.imageId);
  const plan = await finder.planImages(['example.com/b'], { onOutcome: undefined });
  t.is(plan.outcomes[0]?.status, 'present');

  await using fetcher = createFetcher({ store, pool, insecure, discover: origin.discover });
  t.is(await fetcher.fetchImage('example.com/a', { signal: undefined, type: 'name' }), a.imageId);
});

test('what a call is given is checked', async (t) => {
  const { store } = await openPublic(t);
  await using finder = createFinder({ store, insecure, workers: 1 });
  const calls: readonly (readonly [option: string, call: () => Promise<unknown>])[] = [
    ['apps', () => finder.findImages('example.com/a')],
    ['apps', () => finder.findImages(5 as unknown as [])],
    ['apps', () => finder.findImages([5] as unknown as [])],
    ['apps', () => finder.planImages([null] as unknown as [])],
    ['apps.image', () => finder.findImages([{}] as unknown as [])],
    ['apps.type', () => finder.findImages([{ image: 'a', type: 'nam' }] as unknown as [])],
    ['signal', () => finder.findImages([], { signal: new AbortController() } as unknown as BatchCall)],
    ['onOutcome', () => finder.findImages([], { onOutcome: [] } as unknown as BatchCall)],
    ['onoutcome', () => finder.planImages([], { onoutcome: 1 } as unknown as PlanCall)],
    [
      'lock.frozen',
      () => finder.findImages([], { lock: { images: new Map(), onFound: () => 0 } } as unknown as BatchCall),
    ],
    ['lock.images', () => finder.findImages([], { lock: { images: {} } } as unknown as BatchCall)],
    ['image', () => finder.findImage(undefined as unknown as string)],
    ['type', () => finder.findImage('example.com/a', { type: 'hahs' } as unknown as FetchCall)],
    ['signature', () => finder.findImage('example.com/a', { signature: 5 } as unknown as FetchCall)],
  ];
  for (const [option, call] of calls) {
    const error = await t.throwsAsync(call, undefined, option);
    t.true(hasCode(error, 'USAGE') && error.details.option === option, `${option}: ${String(error)}`);
  }
});

test('findImages, findImage and planImages end with the reason of a signal that is aborted', async (t) => {
  const { store } = await openPublic(t);
  const asked = Promise.withResolvers<void>();
  const origin = await startOrigin(t);
  origin.routes['/slow.aci'] = {
    handler: async () => (asked.resolve(), await delay(60_000, undefined, { ref: false })),
  };
  await using finder = createFinder({ store, insecure, workers: 1 });
  const stop = new AbortController();
  const batch = finder.findImages([`${origin.url}/slow.aci`], { signal: stop.signal });
  const single = t.throwsAsync(finder.findImage(`${origin.url}/slow.aci`, { signal: stop.signal }));
  await asked.promise;
  const reason = new Error('the user went away');
  stop.abort(reason);
  const [outcome] = (await batch).outcomes;
  t.is(outcome?.status, 'cancelled');
  t.is(outcome?.error?.cause, reason);
  const error = await single;
  t.true(hasCode(error, 'CANCELLED') && error.cause === reason, String(error));
});

test('a limit or a timeout that is undefined has its default', async (t) => {
  const { store } = await openPublic(t);
  const origin = await startOrigin(t);
  const { url, imageId } = await origin.publish({ name: 'example.com/a' });
  const absent = { archive: undefined, unpacked: undefined, manifest: undefined };
  await using finder = createFinder({
    store,
    insecure,
    workers: 1,
    limits: absent,
    timeouts: { stall: undefined },
  });
  t.is(await finder.findImage(url), imageId);
});

test('credentials that a program gives are checked when they come', async (t) => {
  const { store } = await openPublic(t);
  const challenge = { 'www-authenticate': 'Basic realm="here"' };
  const registry = await startRegistry(t, {
    guard: ({ headers }) => (headers.authorization ? undefined : refusal(401, 'UNAUTHORIZED', 'who?', challenge)),
  });
  registry.putImage('app', '1');
  const codeWith = async (credential: unknown): Promise<string | undefined> => {
    const registryCredentials = () => Promise.resolve(credential as undefined);
    await using finder = createFinder({ store, insecure, workers: 1, keep: 'oci', noStore: true, registryCredentials });
    const [outcome] = (await finder.findImages([`docker://${registry.host}/app:1`])).outcomes;
    const { error } = outcome ?? {};
    return hasCode(error, 'USAGE') ? error.details.option : error?.code;
  };
  t.is(await codeWith(undefined), 'AUTH_REQUIRED');
  t.is(await codeWith(null), 'AUTH_REQUIRED');
  t.is(await codeWith('me:secret'), 'registryCredentials');
  t.is(await codeWith({ user: 'me', password: 'x' }), 'registryCredentials.kind');
  t.is(await codeWith({ kind: 'basic', user: 'me', password: undefined }), 'registryCredentials.password');
  t.is(await codeWith({ kind: 'bearer' }), 'registryCredentials.token');
  t.true(
    registry.requests.every(({ headers }) => headers.authorization === undefined),
    'nothing of it is sent',
  );
  t.is(await codeWith({ kind: 'basic', user: 'me', password: 'x', expiresAt: 5 }), undefined);
});

test('whatever a transport rejects with, its image fails alone and with a code', async (t) => {
  const { store } = await openPublic(t);
  const own = new Error('its own cause');
  own.cause = own;
  const thrown: readonly unknown[] = [
    own,
    Object.create(null),
    {
      toString() {
        throw new Error('no text');
      },
    },
    Symbol('odd'),
    new Error('red \u001b[31m\nand more'),
  ];
  const transport: Transport = ({ url }) => {
    const { promise, reject } = Promise.withResolvers<never>();
    reject(thrown[Number(url.slice(-1))]);
    return promise;
  };
  await using finder = createFinder({ store, insecure, workers: 1, retries: 0, transport });
  const { outcomes } = await finder.findImages(thrown.map((_, index) => `http://a.example/${index}`));
  t.deepEqual(
    outcomes.map(({ error }) => error?.code),
    thrown.map(() => 'INTERNAL'),
  );
  for (const { error } of outcomes) t.notRegex(JSON.stringify([error?.message, error?.details]), /\\u00|\\n/);
});
