import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { startDockerRegistry, writeLayout } from '../helpers/docker-registry.ts';
import { environmentIn } from '../helpers/environment.ts';
import { openGpg } from '../helpers/keys.ts';
import { locking, lockingTag } from '../helpers/locking.ts';
import { startOrigin } from '../helpers/origin.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { digestOf, namesInIndex } from '../helpers/registry-image.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const gpg = await openGpg();
const ann = await gpg.createKey({ userId: 'ann@example.com' });
const bob = await gpg.createKey({ userId: 'bob@example.com' });
test.after.always(() => gpg.close());

/** Debian's registry with images for two processors under two tags, and longshore with a lock file; undefined where it cannot be had. */
async function registryWithTags(t: ExecutionContext) {
  const registry = await startDockerRegistry(t);
  if (!registry) return undefined;
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const put = async (content: string): Promise<void> => {
    const tar = await layerOf({ 'etc/hostname': content.repeat(1_000) });
    const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
    const layout = at(`layout-${content}`);
    await writeLayout(layout, ['amd64', 'arm64'], gzipSync(tar), diffId);
    await registry.push(layout, 'team/app:1', '--all');
    await registry.push(layout, 'team/app:gone', '--all');
  };
  await put('first');
  await writeFile(at('list'), ['1', 'gone'].map((tag) => `docker://${registry.host}/team/app:${tag}\n`).join(''));
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_INSECURE_OPTIONS: 'image',
    LONGSHORE_PROGRESS: 'none',
  };
  const fetch = (store: string, ...args: readonly string[]) =>
    runHere(['fetch', '--dir', at(store), '-f', at('list'), ...args], environment);
  return { at, put, registry, fetch, names: ['1', 'gone'].map((tag) => `${registry.host}/team/app:${tag}`) };
}

for (const platforms of [['linux/amd64'], ['linux/arm64', 'linux/amd64'], ['all']]) {
  test(`a fresh store gets the locked images, though all tags have moved and one is gone: ${platforms.join(', ')}`, async (t) => {
    const opened = await registryWithTags(t);
    if (!opened) return;
    const { at, put, registry, fetch, names } = opened;
    const args = ['--lock', at('lock.json'), ...platforms.flatMap((one) => ['--platform', one])];
    const before = await fetch('store', ...args);
    t.is(before.code, 0, before.stderr);
    await put('second');
    await registry.removeTag('team/app', 'gone');
    t.is((await fetch('elsewhere', ...args.slice(2))).code, 4, 'without the lock file one tag is gone');

    const after = await fetch('fresh', ...args, '--frozen');
    t.deepEqual([after.code, after.stdout], [0, before.stdout], after.stderr);
    const listed = await namesInIndex(at('fresh'));
    t.deepEqual(
      names.filter((name) => !listed.includes(name)),
      [],
      'other tools find them by their tags',
    );
    const offline = await fetch('fresh', ...args.slice(2), '--store-only');
    t.is(offline.stdout, before.stdout, 'and so does the next fetch, by the tag alone');
    t.is((await fetch('fresh', ...args, '--frozen', '--no-store')).stdout, before.stdout);
  });
}

test('an archive comes from the URL in the lock file, and discovery is not asked', async (t) => {
  const { fetch, lock, app, origin } = await locking(t);
  await fetch('store', 'example.com/app:1');
  origin.routes['/example.com'] = { status: 404 };
  const asked = origin.requests.length;
  const { code, stdout, stderr } = await fetch('fresh', '--frozen', 'example.com/app:1');
  t.deepEqual([code, stdout], [0, `${app.imageId}\n`], stderr);
  const urls = origin.requests.slice(asked).map(({ url }) => url);
  t.false(urls.some((url) => url.includes('ac-discovery')));
  t.is((await lock()).images['example.com/app,version=1']?.url, app.url);
});

test('the same image in other bytes is refused, and not listed', async (t) => {
  const { fetch, list, app, origin } = await locking(t);
  await fetch('store', '--no-deps', 'example.com/app:1');
  origin.routes[app.path] = { body: gzipSync(app.bytes) };
  const { code, stderr } = await fetch('fresh', '--frozen', '--no-deps', 'example.com/app:1');
  t.is(code, 10);
  t.regex(stderr, /LOCK_MISMATCH: the lock file says sha512-[0-9a-f]+, but other bytes came: sha256:/);
  t.false((await list('fresh')).includes('example.com'));
});

test('an image that another key has signed is refused, though that key is trusted', async (t) => {
  const { fetch, at, app, origin, lock } = await locking(t);
  for (const [name, key] of [
    ['ann', ann],
    ['bob', bob],
  ] as const) {
    await writeFile(at(`${name}.asc`), await gpg.certificate(key));
    const trust = ['trust', '--root', '--skip-fingerprint-review', '--local-config', at('local'), at(`${name}.asc`)];
    t.is((await runHere(trust, { HOME: at('.') })).code, 0);
  }
  const sign = async (key: string) => {
    origin.routes[`${app.path}.asc`] = { body: await gpg.sign(key, app.bytes) };
  };
  const verified = (store: string, ...args: readonly string[]) =>
    fetch(store, '--insecure-options=http', '--no-deps', ...args, 'example.com/app:1');
  await sign(ann);
  const first = await verified('store');
  t.is(first.code, 0, first.stderr);
  t.deepEqual((await lock()).images['example.com/app,version=1']?.signedBy, [ann.toLowerCase()]);
  await sign(bob);
  const { code, stderr } = await verified('fresh', '--frozen');
  t.is(code, 10, stderr);
  t.regex(stderr, /LOCK_MISMATCH: .* but it is signed by [0-9a-f]+, and not by [0-9a-f]+/);
  t.is((await runHere(['image', 'list', '--no-legend', '--dir', at('fresh')], { HOME: at('.') })).stdout, '');
});

test('--relock finds out anew what tags and names stand for, and says what has moved', async (t) => {
  const { fetch, at, lock, put, first, reference, options, app, replace } = await lockingTag(t);
  t.is((await fetch('store', 'example.com/app:1', ...options)).code, 0);
  const second = await put('two');
  const other = await replace(app);
  const events = ['--events', at('events')];
  const held = await fetch('store', 'example.com/app:1', ...options);
  t.is(held.code, 0, held.stderr);
  t.is((await lock()).images[reference]?.digest, first.index, 'without it nothing moves');
  const { code, stderr } = await fetch(
    'store',
    '--progress=plain',
    '--relock',
    ...events,
    'example.com/app:1',
    ...options,
  );
  t.is(code, 0, stderr);
  t.true(stderr.includes(`${reference} has moved: ${first.index} → ${second.index}`), stderr);
  t.true(stderr.includes(`example.com/app,version=1 has moved: ${app.imageId.slice(0, 39)} → ${other.slice(0, 39)}`));
  const warnings = (await readFile(at('events'), 'utf8')).split('\n').filter((line) => line.includes('has moved'));
  t.is(warnings.length, 2);
  const { images } = await lock();
  t.is(images[reference]?.digest, second.index);
  t.is(images['example.com/app,version=1']?.imageID, other);
});

test('--lock-partial writes what was found though an image failed, and takes nothing out', async (t) => {
  const { fetch, lock } = await locking(t);
  await fetch('store', 'example.com/base:1');
  const failed = await fetch('store', '--lock-partial', 'example.com/app:1', 'example.com/missing');
  t.not(failed.code, 0);
  t.deepEqual(Object.keys((await lock()).images), ['example.com/app,version=1', 'example.com/base,version=1']);
});

test('plan says what a fetch with the lock file would do', async (t) => {
  const { at, fetch, put, first, reference, options } = await lockingTag(t);
  await fetch('store', ...options);
  await put('two');
  const environment = { HOME: at('.'), LONGSHORE_INSECURE_OPTIONS: 'image', LONGSHORE_LOCK: at('lock.json') };
  const plan = async (store: string, ...args: readonly string[]) => {
    const asked = ['plan', '--output=json', '--dir', at(store), '--platform', 'linux/amd64', ...args];
    const { code, stdout } = await runHere(asked, environment);
    return { code, ...(JSON.parse(stdout) as { images: { status: string; digest?: string }[] }) };
  };
  t.like(await plan('fresh', '--frozen', reference), { code: 0, images: [{ status: 'absent', digest: first.amd64 }] });
  t.like(await plan('store', '--frozen', reference), { code: 0, images: [{ status: 'present' }] });
  const other = reference.replace('app:1', 'app:2');
  t.like(await plan('fresh', '--frozen', other), { code: 10, images: [{ status: 'failed' }] });
});

test('plan says of another image at a locked URL what a fetch would say, though the store has that image', async (t) => {
  const { at, fetch, app, origin, replace } = await locking(t);
  await fetch('first', '--no-deps', app.url);
  await replace(app);
  const { body } = origin.routes[app.path] ?? {};
  const fetched = await fetch('store', '--no-deps', '--lock', at('other.json'), app.url);
  t.is(fetched.code, 0, fetched.stderr);
  const environment = {
    HOME: at('.'),
    LONGSHORE_INSECURE_OPTIONS: 'image,http',
    LONGSHORE_LOCK: at('lock.json'),
    LONGSHORE_PROGRESS: 'none',
  };
  const said = async (...args: readonly string[]) => {
    const asked = ['--dir', at('store'), '--no-deps', '--frozen', ...args, app.url];
    const [plan, found] = [
      await runHere(['plan', ...asked], environment),
      await runHere(['fetch', ...asked], environment),
    ];
    return [
      plan.code,
      found.code,
      /[A-Z_]+_MISMATCH/.exec(plan.stdout)?.[0],
      /[A-Z_]+_MISMATCH/.exec(found.stderr)?.[0],
    ];
  };
  const mismatch = [10, 10, 'LOCK_MISMATCH', 'LOCK_MISMATCH'];
  t.deepEqual(await said('--store-only'), mismatch);
  origin.routes[app.path] = { body: body ?? '', etag: '"1"', headers: { 'cache-control': 'max-age=1000' } };
  await fetch('store', '--no-deps', '--lock', at('third.json'), '--no-store', app.url);
  t.deepEqual(await said(), mismatch, 'the server says that it has not changed');
});

test('a lock file of the first form is read, and written in the second', async (t) => {
  const { at, fetch, lock, put, first, reference, options, app, base } = await lockingTag(t);
  const ids = {
    [`${reference}#linux/amd64`]: { digest: first.amd64 },
    'example.com/app,version=1': { imageID: app.imageId },
    'example.com/base,version=1': { imageID: base.imageId },
  };
  await writeFile(at('lock.json'), JSON.stringify({ schema: 'longshore.lock/1', images: ids }));
  await put('two');
  const frozen = await fetch('fresh', '--frozen', 'example.com/app:1', ...options);
  t.is(frozen.code, 0, frozen.stderr);
  t.deepEqual(frozen.stdout, `${app.imageId}\n${first.amd64}\n`);
  t.is((await fetch('second', 'example.com/app:1', ...options)).code, 0);
  const { schema, images } = await lock();
  t.is(schema, 'longshore.lock/2');
  t.like(images[reference], { platforms: { 'linux/amd64': first.amd64 } });
  t.like(images['example.com/app,version=1'], { imageID: app.imageId, url: app.url });
});

test('a URL with a query is said not to be in the lock file, and is discovered again', async (t) => {
  const { fetch, lock, app, origin } = await locking(t);
  const template = `${origin.url}/{name}-{version}.{ext}?token=secret`;
  origin.routes['/example.com'] = { body: `<meta name="ac-discovery" content="example.com ${template}">` };
  const { code, stderr } = await fetch('store', '--progress=plain', '--no-deps', 'example.com/app:1');
  t.is(code, 0, stderr);
  t.regex(stderr, /has a query, which a lock does not hold: it has to be discovered again/);
  t.deepEqual((await lock()).images['example.com/app,version=1'], {
    imageID: app.imageId,
    digest: digestOf(app.bytes),
  });
  t.is((await fetch('fresh', '--frozen', '--no-deps', 'example.com/app:1')).code, 0);
});

test('a lock file that another process has changed meanwhile is not overwritten', async (t) => {
  const { fetch, at, origin, app } = await locking(t);
  await fetch('store', 'example.com/base:1');
  const theirs = (await readFile(at('lock.json'), 'utf8')).replace('example.com/base', 'example.com/theirs');
  origin.routes[app.path] = {
    handler(_, response) {
      void writeFile(at('lock.json'), theirs).then(() => response.end(app.bytes));
    },
  };
  const { code, stderr } = await fetch('fresh', 'example.com/app:1');
  t.is(code, 8, stderr);
  t.regex(stderr, /OUTPUT_FAILED: the lock file .*another program has changed it meanwhile/);
  t.is(await readFile(at('lock.json'), 'utf8'), theirs);
});

test('a lock file is believed no more than a command line: schemes, forms and names are checked', async (t) => {
  const { fetch, at, app, base } = await locking(t);
  const entry = { imageID: app.imageId, url: app.url };
  const use = async (images: object, ...args: readonly string[]) => {
    await writeFile(at('lock.json'), JSON.stringify({ schema: 'longshore.lock/2', images }));
    return fetch('fresh', '--frozen', '--no-deps', ...args, 'example.com/app:1');
  };
  const name = 'example.com/app,version=1';
  for (const wrong of [
    { ...entry, url: 'ftp://example.com/app.aci' },
    { ...entry, url: 'file:///etc/passwd' },
    { ...entry, url: 'https://user:secret@example.com/app.aci' },
    { ...entry, url: `${app.url}?token=1` },
    { ...entry, digest: 'sha512:0' },
    { ...entry, signedBy: ['nobody'] },
    { ...entry, more: 1 },
    { platforms: { 'no platform': `sha256:${'0'.repeat(64)}` } },
    { url: app.url },
  ]) {
    const { code, stderr } = await use({ [name]: wrong });
    t.is(code, 2, JSON.stringify(wrong));
    t.regex(stderr, /CONFIG_INVALID/);
    t.false(stderr.includes('secret'));
  }
  const other = await use({ [name]: { imageID: base.imageId, url: base.url } });
  t.is(other.code, 10, 'D7: what is fetched has the name that was asked for');
  const origin = await startOrigin(t);
  const published = await origin.publish({ name: 'example.com/app', version: '1' });
  const elsewhere = { [name]: { imageID: published.imageId, url: published.url } };
  const refused = await use(elsewhere, '--insecure-options=image');
  t.is(refused.code, 5, refused.stderr);
  t.regex(refused.stderr, /INSECURE_REFUSED: the lock file has an http URL/);
});

test('options for the lock file that contradict each other are usage errors', async (t) => {
  const { fetch } = await locking(t);
  for (const args of [
    ['--frozen', '--relock'],
    ['--frozen', '--lock-partial'],
  ]) {
    const { code, stderr } = await fetch('store', ...args, 'example.com/app:1');
    t.is(code, 2, stderr);
  }
  const alone = await runHere(['fetch', '--relock', 'example.com/app:1']);
  t.regex(alone.stderr, /--relock: it needs --lock FILE/);
});

test('dependencies are locked like requests, whoever asks for them', async (t) => {
  const { fetch, base, origin } = await locking(t);
  await fetch('store', 'example.com/app:1');
  const { bytes } = await buildAci({ name: 'example.com/base', version: '1', size: 999 });
  const moved = new URL(base.url).pathname;
  origin.routes[moved] = { body: bytes };
  const { code, stderr } = await fetch('fresh', '--frozen', 'example.com/app:1');
  t.is(code, 10, stderr);
  t.regex(stderr, /DEPENDENCY_FAILED: it needs example\.com\/base.*LOCK_MISMATCH/);
});

test('an archive whose digest is locked is resumed without a validator, and comes from the start where other bytes were there', async (t) => {
  const { fetch, origin } = await locking(t);
  const { path, bytes, imageId } = await origin.publish({
    name: 'example.com/large',
    files: { data: randomBytes(900_000) },
  });
  await fetch('store', `${origin.url}${path}`);
  const interrupt = async (store: string, sent: Buffer): Promise<string> => {
    origin.routes[path] = { body: sent, cutAfter: 600_000 };
    const { code, stderr } = await fetch(store, '--frozen', `${origin.url}${path}`);
    t.is(code, 7, stderr);
    origin.routes[path] = { body: bytes };
    const { code: again, stdout } = await fetch(store, '--frozen', `${origin.url}${path}`);
    t.is(again, 0);
    return stdout.trim();
  };
  t.is(await interrupt('fresh', bytes), imageId);
  t.regex(String(origin.requests.at(-1)?.headers.range), /^bytes=[1-9]\d+-$/);
  t.is(origin.requests.at(-1)?.headers['if-range'], undefined);
  const before = origin.served(path);
  t.is(await interrupt('other', Buffer.concat([bytes.subarray(0, 500_000), randomBytes(500_000)])), imageId);
  t.is(origin.served(path), before + 3);
});
