import { lstat, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { openLockFile } from '../../src/cli/commands/fetch/lock-file.ts';
import { parseImageId } from '../../src/image/image-id.ts';
import { buildAci } from '../helpers/archive.ts';
import { locking, lockingTag } from '../helpers/locking.ts';
import type { Published } from '../helpers/origin.ts';
import { digestOf } from '../helpers/registry-image.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

/** The entry of an archive that was asked for by its name. */
function entryOf({ imageId, bytes, url }: Published) {
  return { imageID: imageId, digest: digestOf(bytes), url };
}

test('a lock file records the image of each reference and each dependency', async (t) => {
  const { fetch, lock, app, base } = await locking(t);
  const { code, stderr } = await fetch('store', 'example.com/app:1');
  t.is(code, 0, stderr);
  t.deepEqual(await lock(), {
    schema: 'longshore.lock/2',
    images: {
      'example.com/app,version=1': entryOf(app),
      'example.com/base,version=1': entryOf(base),
    },
  });
});

test('an image other than that of the lock file is refused, and never listed in the store', async (t) => {
  const { fetch, list, lock, app, at, replace } = await locking(t);
  await fetch('store', 'example.com/app:1', app.url);
  const before = await lock();
  const other = await replace(app);
  for (const reference of ['example.com/app:1', app.url]) {
    const { code, stdout, stderr } = await fetch('fresh', reference);
    t.deepEqual([code, stdout], [10, '']);
    t.regex(stderr, /LOCK_MISMATCH: the lock file says sha512-[0-9a-f]{32}, but the image is sha512-[0-9a-f]{32}\./);
  }
  await writeFile(at('app.aci'), (await buildAci({ name: 'example.com/app', version: '1', size: 1 })).bytes);
  await writeFile(
    at('lock.json'),
    JSON.stringify({ ...before, images: { [at('app.aci')]: { imageID: app.imageId } } }),
  );
  t.is((await fetch('fresh', at('app.aci'))).code, 10);
  t.true((await list('store')).includes('example.com/app'));
  t.false((await list('fresh')).includes('example.com/app'));
  t.false((await list('fresh')).includes(other));
});

test('a locked image in the store is used, whatever the origin has now', async (t) => {
  const { fetch, app, replace } = await locking(t);
  await fetch('store', 'example.com/app:1');
  await replace(app);
  const { code, stdout } = await fetch('store', '--no-store', 'example.com/app:1');
  t.deepEqual([code, stdout], [0, `${app.imageId}\n`]);
});

test('new references are added to the lock file, and those not requested any more are removed', async (t) => {
  const { fetch, lock } = await locking(t);
  await fetch('store', 'example.com/base:1');
  await fetch('store', 'example.com/app:1', '--no-deps');
  t.deepEqual(Object.keys((await lock()).images), ['example.com/app,version=1']);
});

test('a run that fails leaves the lock file unchanged, and so does one that finds nothing new', async (t) => {
  const { fetch, at } = await locking(t);
  await fetch('store', 'example.com/app:1');
  const before = await readFile(at('lock.json'), 'utf8');
  await utimes(at('lock.json'), 1, 1);
  t.not((await fetch('store', 'example.com/base:1', 'example.com/missing')).code, 0);
  t.is((await fetch('store', 'example.com/app:1')).code, 0);
  t.is(await readFile(at('lock.json'), 'utf8'), before);
  t.is((await stat(at('lock.json'))).mtimeMs, 1000);
});

test('with --frozen only images in the lock file are fetched, dependencies included', async (t) => {
  const { fetch, at, lock, app, origin } = await locking(t);
  await fetch('store', 'example.com/app:1');
  t.is((await fetch('fresh', '--frozen', 'example.com/app:1')).code, 0);
  t.is((await fetch('fresh', '--frozen', 'example.com/base:1')).code, 0, 'a dependency is one of its images');
  const asked = origin.requests.length;
  const refused = await fetch('fresh', '--frozen', 'example.com/base');
  t.is(refused.code, 10);
  t.regex(refused.stderr, /LOCK_MISMATCH: the lock file does not have it/);
  t.is(origin.requests.length, asked, 'and nobody is asked');

  const { schema } = await lock();
  await writeFile(
    at('lock.json'),
    JSON.stringify({ schema, images: { 'example.com/app,version=1': { imageID: app.imageId } } }),
  );
  t.is((await fetch('third', '--frozen', 'example.com/app:1')).code, 10);
  t.deepEqual(Object.keys((await lock()).images), ['example.com/app,version=1']);
});

test('a URL is in the lock file without credentials and query', async (t) => {
  const { fetch, lock, app } = await locking(t);
  const { host, pathname } = new URL(app.url);
  const { code, stderr } = await fetch('store', `http://${host}${pathname}?token=secret`);
  t.is(code, 0, stderr);
  t.deepEqual((await lock()).images[app.url], { imageID: app.imageId, digest: digestOf(app.bytes) });
});

for (const keep of ['aci', 'oci', 'both']) {
  test(`of a tag that moved, the image of the lock file is fetched, and stored under the tag: --keep=${keep}`, async (t) => {
    const { fetch, lock, at, put, first, reference, options } = await lockingTag(t);
    const before = await fetch('store', `--keep=${keep}`, ...options);
    t.is(before.code, 0, before.stderr);
    t.deepEqual((await lock()).images, {
      [reference]: { digest: first.index, platforms: { 'linux/amd64': first.amd64 } },
    });
    await put('two');
    for (const [store, ...args] of [['second'], ['third', '--no-store'], ['fourth', '--frozen']] as const) {
      const { code, stdout, stderr } = await fetch(store, `--keep=${keep}`, ...args, ...options);
      t.is(code, 0, stderr);
      t.is(stdout, before.stdout);
      const offline = await fetch(store, `--keep=${keep}`, '--store-only', '--lock', at('none.json'), ...options);
      t.is(offline.stdout, before.stdout, 'the tag finds it');
    }
  });
}

test('if the store has another image for a reference, the server is asked again, since the lock file may be newer', async (t) => {
  const { fetch, put, at, app, origin, replace, options } = await lockingTag(t);
  origin.routes[app.path] = { body: app.bytes, headers: { 'cache-control': 'max-age=3600' } };
  const asked = [app.url, ...options];
  t.is((await fetch('old', '--lock', at('old.json'), ...asked)).code, 0);
  await put('two');
  await replace(app);
  t.is((await fetch('new', ...asked)).code, 0);
  t.is((await fetch('old', '--store-only', '--frozen', ...asked)).code, 10);
  const { code, stderr } = await fetch('old', '--frozen', ...asked);
  t.is(code, 0, stderr);
});

test('each platform of an image is locked separately', async (t) => {
  const { fetch, lock, put, first, reference } = await lockingTag(t);
  const platforms = ['--platform', 'linux/amd64', '--platform', 'linux/arm64'];
  const { code, stderr } = await fetch('store', ...platforms, reference);
  t.is(code, 0, stderr);
  const { index, ...manifests } = first;
  t.deepEqual(await lock(), {
    schema: 'longshore.lock/2',
    images: {
      [reference]: {
        digest: index,
        platforms: { 'linux/amd64': manifests.amd64, 'linux/arm64': manifests.arm64 },
      },
    },
  });
  await put('one', 'two');
  t.is((await fetch('fresh', '--frozen', '--platform', 'linux/amd64', reference)).stdout, `${manifests.amd64}\n`);
  t.is((await fetch('fresh', '--frozen', ...platforms, reference)).stdout, `${index}\n`);
  const other = await fetch('fresh', '--frozen', '--platform', 'linux/s390x', reference);
  t.is(other.code, 10);
  t.regex(other.stderr, /has it for linux\/amd64, linux\/arm64 only, and not for linux\/s390x/);
});

test('dependencies pinned to different images of one name are locked separately', async (t) => {
  const { fetch, lock, origin, base } = await locking(t);
  const pinned = (imageID: string) => [
    { imageName: 'example.com/base', labels: [{ name: 'version', value: '1' }], imageID },
  ];
  await origin.publish({ name: 'example.com/one', dependencies: pinned(base.imageId) });
  await origin.publish({ name: 'example.com/two', dependencies: pinned(base.imageId.slice(0, 20)) });
  const { code, stderr } = await fetch('store', 'example.com/one', 'example.com/two');
  t.is(code, 0, stderr);
  t.is(Object.keys((await lock()).images).length, 4);
  t.is((await fetch('fresh', '--frozen', 'example.com/one', 'example.com/two')).code, 0);
});

test('an image with other labels is another image', async (t) => {
  const { fetch, app, origin } = await locking(t);
  await fetch('store', 'example.com/app:1');
  origin.routes[app.path] = { body: (await buildAci({ name: 'example.com/app', version: '2' })).bytes };
  const { code, stderr } = await fetch('fresh', 'example.com/app:1');
  t.is(code, 10);
  t.regex(stderr, /LOCK_MISMATCH: the lock file says sha512-[0-9a-f]{32}, but label version/);
});

test('files whose names differ only in case are different', async (t) => {
  const { fetch, lock, at } = await locking(t);
  for (const name of ['A.aci', 'a.aci']) {
    await writeFile(at(name), (await buildAci({ name: `example.com/${name.toLowerCase()}`, size: 9 })).bytes);
  }
  for (let time = 0; time < 2; time += 1) t.is((await fetch('store', at('A.aci'), at('a.aci'))).code, 0);
  t.deepEqual(Object.keys((await lock()).images), [at('A.aci'), at('a.aci')]);
});

test('a lock file that is a link is written at its target, and an empty batch writes none', async (t) => {
  const { fetch, lock, at } = await locking(t);
  await writeFile(at('list'), '# nothing yet');
  t.is((await fetch('store', '-f', at('list'))).code, 0);
  await t.throwsAsync(lock(), { code: 'ENOENT' });
  await writeFile(at('elsewhere.json'), '{"schema":"longshore.lock/1","images":{}}');
  await symlink(at('elsewhere.json'), at('lock.json'));
  await fetch('store', 'example.com/base:1');
  t.is(Object.keys((await lock()).images).length, 1);
  t.true((await lstat(at('lock.json'))).isSymbolicLink());
});

test('an invalid lock file, and --frozen without one, are refused before anything is done', async (t) => {
  const { fetch, at, origin } = await locking(t);
  const bad = async (text: string, pattern: RegExp, ...args: readonly string[]) => {
    await writeFile(at('bad.json'), text);
    const { code, stdout, stderr } = await fetch('store', '--lock', at('bad.json'), ...args, 'example.com/app:1');
    t.deepEqual([code, stdout], [2, ''], stderr);
    t.regex(stderr, pattern);
  };
  await bad('{', /CONFIG_INVALID: .*is not JSON/);
  await bad('{"schema":"longshore.lock/9","images":{}}', /schema is neither longshore\.lock\/2 nor longshore\.lock\/1/);
  await bad('{"schema":"longshore.lock/1","images":{"a":{"imageID":"sha512-1"}}}', /images\.a: neither an imageID/);
  for (const [args, pattern] of [
    [['--frozen', '--lock', at('missing.json')], /CONFIG_INVALID: .*missing\.json/],
    [['--lock', at('no/lock.json')], /--lock: cannot write/],
    [['--lock', at('.')], /is a directory/],
  ] as const) {
    const { code, stderr } = await fetch('store', ...args, 'example.com/app:1');
    t.is(code, 2, stderr);
    t.regex(stderr, pattern);
  }
  const alone = await runHere(['fetch', '--frozen', 'example.com/app:1']);
  t.is(alone.code, 2);
  t.regex(alone.stderr, /--frozen: it needs --lock FILE/);
  t.is(origin.requests.length, 0);
});

test('two URLs that differ only in their queries cannot both be locked', async (t) => {
  const { fetch, lock, app, origin } = await locking(t);
  const { bytes } = await buildAci({ name: 'example.com/app', version: '2' });
  origin.routes[`${app.path}?v=2`] = { body: bytes };
  const { code, stderr } = await fetch('store', app.url, `${app.url}?v=2`);
  t.is(code, 10);
  t.regex(stderr, /LOCK_MISMATCH: .*stands for several images/);
  await t.throwsAsync(lock(), { code: 'ENOENT' });
});

test('a lock file that can no longer be written is OUTPUT_FAILED', async (t) => {
  const path = join(await temporaryDirectory(t), 'gone', 'lock.json');
  const file = await openLockFile(path);
  const imageID = parseImageId(`sha512-${'a'.repeat(128)}`);
  file.lock.onFound('example.com/app', imageID, { imageID });
  await t.throwsAsync(
    file.end(true, () => undefined),
    { code: 'OUTPUT_FAILED', message: /^the lock file .* \(ENOENT\)$/ },
  );
});

test('a lock file is a list of what it locks: dependencies that are pinned are no requests', async (t) => {
  const { fetch, list, origin, base, at } = await locking(t);
  const labels = [{ name: 'version', value: '1' }];
  const dependencies = [{ imageName: 'example.com/base', labels, imageID: base.imageId }];
  await origin.publish({ name: 'example.com/pinning', version: '1', dependencies });
  t.is((await fetch('store', 'example.com/pinning:1')).code, 0);
  t.true((await readFile(at('lock.json'), 'utf8')).includes(`example.com/base,version=1@${base.imageId}`));
  const { code, stderr } = await fetch('fresh', '-f', at('lock.json'), '--frozen');
  t.is(code, 0, stderr);
  t.true((await list('fresh')).includes(base.imageId));
});
