import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { createApps, signaturePath, signatureUrl } from '../../src/image/apps.ts';
import { parseImageId } from '../../src/image/image-id.ts';

test('apps keep their order and settings; an image ID can be filled in', (t) => {
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

test('mounts of existing volumes are valid', (t) => {
  const mounts = [{ volume: 'data', path: '/d' }];
  const volumes = [{ name: 'data', kind: 'host', source: '/srv' } as const, { name: 'tmp', kind: 'empty' } as const];
  t.notThrows(() =>
    createApps([{ image: 'a', mounts: [{ volume: 'tmp', path: '/t' }] }], { mounts, volumes }).validate(),
  );
  t.notThrows(() => createApps([]).validate());
});

test('a mount of an unknown volume is named, whether it is global or of one app', (t) => {
  const global = t.throws(() => createApps(['a'], { mounts: [{ volume: 'nosuch', path: '/d' }] }).validate());
  t.true(hasCode(global, 'USAGE') && global.details.option === 'mounts');
  t.regex(global.message, /"nosuch"/);
  const own = t.throws(() => createApps(['a', { image: 'b', mounts: [{ volume: 'nosuch', path: '/d' }] }]).validate());
  t.regex(own.message, /of b .*"nosuch"/);
});

test('volumes must be well-formed and unique', (t) => {
  const twice = t.throws(() => createApps([], { volumes: [{ name: 'a', kind: 'empty' }, { name: 'a', kind: 'empty' }] }).validate()); // prettier-ignore
  t.true(hasCode(twice, 'USAGE'));
  t.regex(twice.message, /volume a is there twice/);
  t.throws(() => createApps([], { volumes: [{ name: 'a', kind: 'host', source: 'relative' }] }).validate());
});

test('malformed volumes are usage errors that name the option', (t) => {
  const volumes = [
    { name: '', kind: 'empty' },
    { name: 'Data', kind: 'empty' },
    { name: 'data', kind: 'host' },
    { name: 'data', kind: 'host', source: 'x' },
    { name: 'data', kind: 'empty', source: '/x' },
  ] as const;
  for (const volume of volumes) {
    const error = t.throws(() => createApps([], { volumes: [volume] }).validate(), undefined, JSON.stringify(volume));
    t.true(hasCode(error, 'USAGE') && error.details.option === 'volumes', JSON.stringify(volume));
  }
});

test('the signature is next to its archive; query and fragment of a URL are kept', (t) => {
  t.is(signaturePath('/d/image'), '/d/image.aci.asc');
  t.is(signaturePath('/d/image.aci'), '/d/image.aci.asc');
  t.is(signaturePath('/d.aci/image'), '/d.aci/image.aci.asc');
  t.is(signatureUrl('https://x.org/d/image'), 'https://x.org/d/image.aci.asc');
  t.is(signatureUrl('https://x.org/d/image.aci'), 'https://x.org/d/image.aci.asc');
  t.is(signatureUrl('https://x.org/d/image.aci?q=a.aci#f'), 'https://x.org/d/image.aci.asc?q=a.aci#f');
  t.is(signatureUrl(`https://x.org/d/image.aci?q='`), `https://x.org/d/image.aci.asc?q='`);
  t.is(signatureUrl('https://x.org/d/%2Fimage%3F.aci?q'), 'https://x.org/d/%2Fimage%3F.aci.asc?q');
});
