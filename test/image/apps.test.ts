import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { createApps } from '../../src/image/apps.ts';
import { parseImageId } from '../../src/image/image-id.ts';

test('apps keep their order and what they carry; an image ID can be filled in', (t) => {
  const input = { image: 'b', type: 'name' as const, args: ['--x'], memoryLimit: '1G' };
  const apps = createApps(['a', input]);
  const added = apps.create('c');
  t.is(apps.length, 3);
  t.deepEqual([...apps], [{ image: 'a' }, input, { image: 'c' }]);
  added.imageID = parseImageId(`sha512-${'0'.repeat(128)}`);
  t.is([...apps][2]?.imageID, added.imageID);
});

test('an input is copied, so that one record can be listed twice', (t) => {
  const input = { image: 'a' };
  const [first, second] = createApps([input, input]);
  t.not(first, second);
});

test('a walk goes through the apps in order, one at a time, and stops at the first error', async (t) => {
  const seen: string[] = [];
  const failure = new Error('b is bad');
  const walk = createApps(['a', 'b', 'c']).walk(async ({ image }, index) => {
    await Promise.resolve();
    seen.push(`${index} ${image}`);
    if (image === 'b') throw failure;
  });
  t.is(await t.throwsAsync(walk), failure);
  t.deepEqual(seen, ['0 a', '1 b']);
});

test('mounts of volumes that are there are valid', (t) => {
  const mounts = [{ volume: 'data', path: '/d' }];
  const volumes = [{ name: 'data', kind: 'host', source: '/srv' } as const, { name: 'tmp', kind: 'empty' } as const];
  t.notThrows(() =>
    createApps([{ image: 'a', mounts: [{ volume: 'tmp', path: '/t' }] }], { mounts, volumes }).validate(),
  );
  t.notThrows(() => createApps([]).validate());
});

test('a mount of an unknown volume is named, whether it is global or of one app', (t) => {
  const global = t.throws(() => createApps(['a'], { mounts: [{ volume: 'nosuch', path: '/d' }] }).validate());
  t.true(hasCode(global, 'USAGE'));
  t.regex(global.message, /"nosuch"/);
  const own = t.throws(() => createApps(['a', { image: 'b', mounts: [{ volume: 'nosuch', path: '/d' }] }]).validate());
  t.regex(own.message, /of b .*"nosuch"/);
});

test('volumes are well-formed and there once', (t) => {
  const twice = t.throws(() => createApps([], { volumes: [{ name: 'a', kind: 'empty' }, { name: 'a', kind: 'empty' }] }).validate()); // prettier-ignore
  t.true(hasCode(twice, 'USAGE'));
  t.regex(twice.message, /volume a is there twice/);
  t.throws(() => createApps([], { volumes: [{ name: 'a', kind: 'host', source: 'relative' }] }).validate());
});
