import test from 'ava';

import { createFinder, createPusher, hasCode, type PushCall, type PusherOptions } from '../../src/index.ts';
import { openPublic } from '../helpers/public-store.ts';
import { startPushTarget } from '../helpers/push-target.ts';
import { startRegistry } from '../helpers/registry.ts';

test('pushImages takes what was fetched to another registry, and says what became of each image', async (t) => {
  const { store } = await openPublic(t);
  const [registry, target] = [await startRegistry(t), await startPushTarget(t)];
  const { digest } = registry.putImage('team/app', '1');
  const reference = `docker://${registry.host}/team/app:1`;
  await using finder = createFinder({ store, insecure: { image: true }, keep: 'oci', platform: ['linux/amd64'] });
  await finder.findImage(reference);

  const seen: string[] = [];
  await using pusher = createPusher({ store, workers: 1, onEvent: ({ type }) => void seen.push(type) });
  const { outcomes, totals } = await pusher.pushImages([reference, { image: digest }], {
    to: `docker://${target.host}`,
    onOutcome: ({ status }) => void seen.push(status),
  });
  t.deepEqual(
    outcomes.map(({ status, pushed }) => [status, pushed]),
    Array(2).fill(['pushed', `${target.host}/team/app@${digest}`]),
  );
  t.is(totals.images, 2);
  t.true(seen.includes('pushed'));
  t.deepEqual(seen.slice(-2), ['traffic', 'push-finished']);
  const { totals: all } = await pusher.pushImages([], { to: `docker://${target.host}`, all: true });
  t.like(all, { images: 1, present: 1 });
});

test('what a pusher and its calls are given is checked; closed, it pushes nothing', async (t) => {
  const { store } = await openPublic(t);
  const pusher = createPusher({ store });
  const opening = (options: PusherOptions) => Promise.try(() => createPusher(options));
  const wrong: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['to', () => pusher.pushImages([], {} as PushCall)],
    ['to', () => pusher.pushImages([], { to: 'http://localhost' })],
    ['scoped', () => pusher.pushImages([], { to: 'docker://localhost', scoped: 1 } as unknown as PushCall)],
    ['apps', () => pusher.pushImages('a', { to: 'docker://localhost' })],
    ['keep', () => opening({ store, keep: 'oci' } as PusherOptions)],
    ['ca', () => opening({ store, ca: [], transport: () => Promise.reject(new Error()) })],
  ];
  for (const [option, call] of wrong) {
    const error = await t.throwsAsync(call, { message: new RegExp(option) });
    t.true(hasCode(error, 'USAGE'), option);
  }
  await pusher.close();
  await t.throwsAsync(pusher.pushImages([], { to: 'docker://localhost' }), { code: 'CLOSED' });
});
