import { lstat, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { openLockFile } from '../../src/cli/commands/fetch/lock-file.ts';
import { parseImageId } from '../../src/image/image-id.ts';
import { buildAci } from '../helpers/archive.ts';
import { startOrigin } from '../helpers/origin.ts';
import { startRegistry, types } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

type LockDocument = { readonly schema: string; readonly images: Record<string, { imageID?: string; digest?: string }> };

/** `example.com/app`, which needs `example.com/base`, at an origin, and longshore with a lock file and stores. */
async function locking(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const origin = await startOrigin(t);
  const base = await origin.publish({ name: 'example.com/base', version: '1' });
  const dependencies = [{ imageName: 'example.com/base', labels: [{ name: 'version', value: '1' }] }];
  const app = await origin.publish({ name: 'example.com/app', version: '1', dependencies });
  const environment = {
    HOME: directory,
    LONGSHORE_SYSTEM_CONFIG: at('system'),
    LONGSHORE_LOCAL_CONFIG: at('local'),
    LONGSHORE_INSECURE_OPTIONS: 'image,http',
    LONGSHORE_DISCOVER: `example.com=${origin.url}`,
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_RETRIES: '0',
    LONGSHORE_LOCK: at('lock.json'),
  };
  const fetch = (store: string, ...args: readonly string[]) =>
    runHere(['fetch', '--full', '--dir', at(store), ...args], environment);
  return {
    ...{ at, origin, base, app, fetch },
    list: async (store: string) => {
      const { code, stdout } = await runHere(['image', 'list', '--full', '--dir', at(store)], environment);
      t.is(code, 0);
      return stdout;
    },
    lock: async () => JSON.parse(await readFile(at('lock.json'), 'utf8')) as LockDocument,
    /** Another image of the same name in its place. */
    replace: async (published: typeof app) => {
      const { bytes, imageId } = await buildAci({ name: 'example.com/app', version: '1', size: 4321 });
      origin.routes[new URL(published.url).pathname] = { body: bytes };
      return imageId;
    },
  };
}

test('a lock file records the image of each reference and each dependency', async (t) => {
  const { fetch, lock, app, base } = await locking(t);
  const { code, stderr } = await fetch('store', 'example.com/app:1');
  t.is(code, 0, stderr);
  t.deepEqual(await lock(), {
    schema: 'longshore.lock/1',
    images: {
      'example.com/app,version=1': { imageID: app.imageId },
      'example.com/base,version=1': { imageID: base.imageId },
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
  t.deepEqual((await lock()).images[app.url], { imageID: app.imageId });
});

/** A registry with an image for two processors, for which longshore asks. */
async function lockingTag(t: ExecutionContext) {
  const locked = await locking(t);
  const registry = await startRegistry(t);
  const put = async (text: string, armText = text) => {
    const images = Object.entries({ amd64: text, arm64: armText }).map(async ([architecture, content]) => {
      const image = registry.putImage('team/app', undefined, { layers: [await layerOf({ content })], architecture });
      return { ...image, platform: { os: 'linux', architecture } };
    });
    registry.putManifest('team/app', '1', { schemaVersion: 2, manifests: await Promise.all(images) }, types.index);
  };
  await put('one');
  const reference = `docker://${registry.host}/team/app:1`;
  return { ...locked, put, reference, options: ['--platform', 'linux/amd64', reference] };
}

for (const keep of ['aci', 'oci', 'both']) {
  test(`a tag that moved is refused before its image is listed: --keep=${keep}`, async (t) => {
    const { fetch, lock, list, put, reference, options } = await lockingTag(t);
    const first = await fetch('store', `--keep=${keep}`, ...options);
    t.is(first.code, 0, first.stderr);
    const [name, entry] = Object.entries((await lock()).images)[0] ?? [];
    t.is(name, `${reference}#linux/amd64`);
    t.regex(entry?.digest ?? '', /^sha256:/);
    t.is((await fetch('fresh', `--keep=${keep}`, '--frozen', ...options)).code, 0);
    await put('two');
    for (const policy of ['new', 'update']) {
      const { code, stderr } = await fetch('third', `--keep=${keep}`, '--pull-policy', policy, ...options);
      t.is(code, 10);
      t.regex(stderr, /LOCK_MISMATCH: the lock file says sha256:[0-9a-f]{64}, but it is sha256:/);
      t.is(await list('third'), await list('nothing'));
    }
    t.is((await fetch('store', `--keep=${keep}`, '--no-store', '--frozen', ...options)).code, 0, 'the store has it');
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
  const { fetch, lock, put, reference } = await lockingTag(t);
  const platforms = ['--platform', 'linux/amd64', '--platform', 'linux/arm64'];
  const { code, stderr } = await fetch('store', ...platforms, reference);
  t.is(code, 0, stderr);
  t.deepEqual(Object.keys((await lock()).images), [`${reference}#linux/amd64`, `${reference}#linux/arm64`]);
  await put('one', 'two');
  t.is((await fetch('fresh', '--frozen', '--platform', 'linux/amd64', reference)).code, 0);
  t.is((await fetch('fresh', '--frozen', ...platforms, reference)).code, 10);
  t.is((await fetch('fresh', '--frozen', '--platform', 'linux/s390x', reference)).code, 10);
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
  await bad('{"schema":"longshore.lock/9","images":{}}', /schema is not longshore\.lock\/1/);
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
  const file = await openLockFile(path, false);
  file.lock.onFound('example.com/app', parseImageId(`sha512-${'a'.repeat(128)}`));
  await t.throwsAsync(file.end(), { code: 'OUTPUT_FAILED', message: /^the lock file .* \(ENOENT\)$/ });
});
