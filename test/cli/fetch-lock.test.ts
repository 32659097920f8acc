import { readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { startOrigin } from '../helpers/origin.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { startRegistry } from '../helpers/registry.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

type LockDocument = { readonly schema: string; readonly images: Record<string, { readonly imageID: string }> };

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
    list: async (store: string) => (await runHere(['image', 'list', '--full', '--dir', at(store)], environment)).stdout,
    lock: async () => JSON.parse(await readFile(at('lock.json'), 'utf8')) as LockDocument,
    /** Another image of the same name in its place. */
    replace: async (published: typeof app) => {
      const { bytes, imageId } = await buildAci({ name: 'example.com/app', version: '1', size: 4321 });
      origin.routes[new URL(published.url).pathname] = { body: bytes };
      return imageId;
    },
  };
}

test('a lock file says which image each reference and each dependency was', async (t) => {
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

test('an image that is not the one of the lock file is refused, and never seen in the store', async (t) => {
  const { fetch, list, lock, app, at, replace } = await locking(t);
  await fetch('store', 'example.com/app:1', app.url);
  const before = await lock();
  const other = await replace(app);
  for (const reference of ['example.com/app:1', app.url]) {
    const { code, stdout, stderr } = await fetch('fresh', reference);
    t.deepEqual([code, stdout], [10, '']);
    t.regex(stderr, /LOCK_MISMATCH: .*the lock file says sha512-/);
  }
  await writeFile(at('app.aci'), (await buildAci({ name: 'example.com/app', version: '1', size: 1 })).bytes);
  await writeFile(
    at('lock.json'),
    JSON.stringify({ ...before, images: { [at('app.aci')]: { imageID: app.imageId } } }),
  );
  t.is((await fetch('fresh', at('app.aci'))).code, 10);
  t.false((await list('fresh')).includes('example.com/app'));
  t.false((await list('fresh')).includes(other));
});

test('a store that has the locked image answers with it, whatever the origin has by now', async (t) => {
  const { fetch, app, replace } = await locking(t);
  await fetch('store', 'example.com/app:1');
  await replace(app);
  const { code, stdout } = await fetch('store', '--no-store', 'example.com/app:1');
  t.deepEqual([code, stdout], [0, `${app.imageId}\n`]);
});

test('what is new comes into the lock file, and what is not asked for any more leaves it', async (t) => {
  const { fetch, lock } = await locking(t);
  await fetch('store', 'example.com/base:1');
  await fetch('store', 'example.com/app:1', '--no-deps');
  t.deepEqual(Object.keys((await lock()).images), ['example.com/app,version=1']);
});

test('a run that fails leaves the lock file as it was, and so does one that finds nothing new', async (t) => {
  const { fetch, at } = await locking(t);
  await fetch('store', 'example.com/app:1');
  const before = await readFile(at('lock.json'), 'utf8');
  await utimes(at('lock.json'), 1, 1);
  t.not((await fetch('store', 'example.com/app:1', 'example.com/missing')).code, 0);
  t.is((await fetch('store', 'example.com/app:1')).code, 0);
  t.is(await readFile(at('lock.json'), 'utf8'), before);
  t.is((await stat(at('lock.json'))).mtimeMs, 1000);
});

test('frozen, nothing is fetched that the lock file does not name, dependencies included', async (t) => {
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

test('a tag that moved is not what the lock file says', async (t) => {
  const { fetch, lock } = await locking(t);
  const registry = await startRegistry(t);
  registry.putImage('team/app', '1', { layers: [await layerOf({ one: '1' })] });
  const reference = `docker://${registry.host}/team/app:1`;
  const options = ['--platform', 'linux/amd64', '--keep=oci', reference];
  const first = await fetch('store', ...options);
  t.is(first.code, 0, first.stderr);
  t.deepEqual((await lock()).images, { [reference]: { imageID: first.stdout.trim() } });
  t.is((await fetch('fresh', '--frozen', ...options)).code, 0);
  registry.putImage('team/app', '1', { layers: [await layerOf({ two: '2' })] });
  const { code, stderr } = await fetch('third', ...options);
  t.is(code, 10);
  t.regex(stderr, /LOCK_MISMATCH: the image is sha256:[0-9a-f]{64}, the lock file says sha256:/);
});

test('what is no lock file, and --frozen without one, are refused before anything is done', async (t) => {
  const { fetch, at, origin } = await locking(t);
  const bad = async (text: string, pattern: RegExp, ...args: readonly string[]) => {
    await writeFile(at('bad.json'), text);
    const { code, stdout, stderr } = await fetch('store', '--lock', at('bad.json'), ...args, 'example.com/app:1');
    t.deepEqual([code, stdout], [2, ''], stderr);
    t.regex(stderr, pattern);
  };
  await bad('{', /CONFIG_INVALID: .*is not JSON/);
  await bad('{"schema":"longshore.lock/9","images":{}}', /schema is not longshore\.lock\/1/);
  await bad('{"schema":"longshore.lock/1","images":{"a":{"imageID":"sha512-1"}}}', /neither an image ID nor a digest/);
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

test('two URLs that only their queries tell apart cannot both be locked', async (t) => {
  const { fetch, lock, app, origin } = await locking(t);
  const { bytes } = await buildAci({ name: 'example.com/app', version: '2' });
  origin.routes[`${app.path}?v=2`] = { body: bytes };
  const { code, stderr } = await fetch('store', app.url, `${app.url}?v=2`);
  t.is(code, 10);
  t.regex(stderr, /LOCK_MISMATCH: .*stands for several images/);
  await t.throwsAsync(lock(), { code: 'ENOENT' });
});
