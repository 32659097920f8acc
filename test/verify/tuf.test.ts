import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import test, { type ExecutionContext } from 'ava';

import type { ErrorCode } from '../../src/errors.ts';
import type { NetworkOptions } from '../../src/options.ts';
import { getTrustedRoot } from '../../src/root-updater.ts';
import type { Route } from '../helpers/serve-route.ts';
import { startServer } from '../helpers/server.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { createOwners, inDays, type Release, releaseOf, rootOf } from '../helpers/tuf.ts';

const owners = createOwners();
const others = createOwners();
const first = rootOf(owners);
const content = Buffer.from('{"mediaType":"of one"}');
const never = new AbortController().signal;

/** A repository on loopback, and what asks it with metadata of its own. */
async function open(t: ExecutionContext) {
  const metadata = join(await temporaryDirectory(t), 'tuf');
  const server = await startServer(t, {});
  const serve = (files: Readonly<Record<string, Buffer>>): void => {
    for (const path of Object.keys(server.routes)) Reflect.deleteProperty(server.routes, path);
    for (const [path, body] of Object.entries(files)) server.routes[path] = { body };
  };
  let version = 0;
  const publish = (release: Partial<Release> = {}): void => {
    version += 1;
    serve(releaseOf(owners, { content, version, ...release }));
  };
  const ask = async (options: NetworkOptions = {}, bytes = first, save = true): Promise<string> => {
    const root = { path: '/root.json', bytes };
    const update = { mirror: `${server.url}/`, root, metadata, save };
    return Buffer.from(await getTrustedRoot({ retries: 0, ...options }, update, never)).toString();
  };
  const kept = async (name: string): Promise<string> => {
    const [directory = ''] = await readdir(metadata);
    return join(metadata, directory, name);
  };
  const refuses = async (code: ErrorCode, message: RegExp, ...args: Parameters<typeof ask>): Promise<void> => {
    await t.throwsAsync(ask(...args), { code, message } as object);
  };
  return { server, routes: server.routes, publish, ask, refuses, kept, metadata };
}

test('what the owners have signed last is got, also if their keys have changed since the first root', async (t) => {
  const { server, routes, publish, ask, kept } = await open(t);
  publish();
  t.is(await ask(), content.toString());
  t.deepEqual((await readdir(await kept('.'))).toSorted(), [
    'root.json',
    'snapshot.json',
    'targets.json',
    'timestamp.json',
  ]);

  const next = createOwners();
  const second = rootOf(next, 2, [owners, next]);
  const newer = Buffer.from('{"mediaType":"of two"}');
  for (const [path, body] of Object.entries(releaseOf(next, { version: 9, content: newer }))) routes[path] = { body };
  routes['/2.root.json'] = { body: second };
  t.is(await ask(), newer.toString());
  t.deepEqual(await readFile(await kept('root.json')), second);

  const before = server.requests.length;
  t.is(await ask(), newer.toString());
  t.deepEqual(
    server.requests.slice(before).map(({ url }) => url.replace(/[0-9a-f]{64}/, 'HASH')),
    ['/3.root.json', '/timestamp.json', '/targets/HASH.trusted_root.json'],
  );
});

test('what is older than what was seen is refused, and what was seen is kept', async (t) => {
  const { routes, publish, ask, refuses, kept } = await open(t);
  publish({ version: 5 });
  await ask();
  const seen = await readFile(await kept('timestamp.json'));
  publish({ version: 4 });
  await refuses('TRUSTED_ROOT_REFUSED', /timestamp version 4 is less than current version 5/);
  t.deepEqual(await readFile(await kept('timestamp.json')), seen);

  publish({ version: 6 });
  const { '/4.snapshot.json': older, '/4.targets.json': targets } = releaseOf(owners, { version: 4, content });
  routes['/6.snapshot.json'] = { body: older ?? '' };
  routes['/6.targets.json'] = { body: targets ?? '' };
  await refuses('TRUSTED_ROOT_REFUSED', /snapshot/);
});

test('what another process has seen meanwhile is not taken back', async (t) => {
  const { routes, publish, ask, kept } = await open(t);
  publish();
  const { body } = routes['/1.targets.json'] as { readonly body: Buffer };
  const newer = Buffer.from('{"mediaType":"of two"}');
  routes['/1.targets.json'] = {
    async handler(_, response) {
      publish({ content: newer });
      t.is(await ask(), newer.toString());
      response.end(body);
    },
  };
  t.is(await ask(), newer.toString());
  t.regex(await readFile(await kept('timestamp.json'), 'utf8'), /"version":2/);
});

test('what is expired, signed by others, or another than was signed is refused', async (t) => {
  const { routes, publish, ask, refuses } = await open(t);
  const day = inDays(-1);
  publish({ expires: day });
  await refuses('TRUSTED_ROOT_REFUSED', /timestamp\.json is expired/);
  publish({ stampedBy: others });
  await refuses('TRUSTED_ROOT_REFUSED', /timestamp was signed by 0\/1 keys/);
  publish();
  await refuses('TRUSTED_ROOT_REFUSED', /timestamp was signed by 0\/1 keys/, {}, rootOf(others));
  routes['/2.root.json'] = { body: rootOf(others, 2) };
  await refuses('TRUSTED_ROOT_REFUSED', /root was signed by 0\/1 keys/);
  routes['/2.root.json'] = { body: rootOf(owners, 3) };
  await refuses('TRUSTED_ROOT_REFUSED', /Expected version 2, got 3/);
  routes['/2.root.json'] = { body: rootOf(owners, 2, [owners], day) };
  await refuses('TRUSTED_ROOT_REFUSED', /root\.json is expired/, {}, first, false);
  publish();
  const path = Object.keys(routes).find((one) => one.startsWith('/targets/')) ?? '';
  routes[path] = { body: content.toString().replace('one', 'two') };
  await refuses('TRUSTED_ROOT_REFUSED', /hash/);
  routes[path] = { body: content.subarray(1) };
  await refuses('TRUSTED_ROOT_REFUSED', /length/);
  publish({ name: 'other.json' });
  await refuses('TRUSTED_ROOT_REFUSED', /it has no trusted_root\.json/);
  for (const body of [
    '',
    'null',
    '[]',
    '{"signed":{}}',
    '{"signatures":[],"signed":{"_type":"timestamp"}}',
    '[['.repeat(8000),
  ]) {
    routes['/timestamp.json'] = { body };
    await refuses('TRUSTED_ROOT_REFUSED', /127\.0\.0\.1/);
  }
  publish();
  t.is(await ask(), content.toString());
});

test('a file that is too large is given up, however large it is said to be', async (t) => {
  const { routes, publish, refuses, server } = await open(t);
  const huge = Buffer.alloc(2 * 1024 * 1024, ' ');
  publish({ content: huge });
  await refuses('LIMIT_EXCEEDED', /1048576/);
  publish();
  routes['/timestamp.json'] = { body: huge };
  await refuses('LIMIT_EXCEEDED', /16384/);
  const endless: Route = {
    handler(_, response) {
      const more = (): void => {
        while (response.write(Buffer.alloc(65_536, ' ')));
        response.once('drain', more);
      };
      response.on('error', () => undefined);
      more();
    },
  };
  publish();
  routes['/3.targets.json'] = endless;
  await refuses('LIMIT_EXCEEDED', /1048576/);
  server.cut();

  for (let version = 2; version < 100; version += 1)
    routes[`/${version}.root.json`] = { body: rootOf(owners, version) };
  const before = server.requests.length;
  routes['/timestamp.json'] = { status: 404 };
  await refuses('HTTP_STATUS', /404/);
  t.is(server.requests.length - before, 64 + 1);
});

test('who stops it is told why, and not that the repository is refused', async (t) => {
  for (const name of ['timestamp', '1.snapshot', '1.targets']) {
    const { routes, publish, server, metadata } = await open(t);
    publish();
    const asked = Promise.withResolvers<void>();
    routes[`/${name}.json`] = { handler: () => asked.resolve() };
    const stopping = new AbortController();
    const root = { path: '/root.json', bytes: first };
    const getting = getTrustedRoot({}, { mirror: server.url, root, metadata, save: true }, stopping.signal);
    await asked.promise;
    stopping.abort(new Error('stopped'));
    await t.throwsAsync(getting, { message: 'stopped' }, name);
    server.cut();
  }
});

test('faults of the network and of files are told as such', async (t) => {
  const { server, routes, publish, ask, refuses, kept, metadata } = await open(t);
  await refuses('HTTP_STATUS', /404/);
  routes['/2.root.json'] = { status: 503 };
  await refuses('HTTP_STATUS', /503/);
  publish();
  await refuses('INSECURE_REFUSED', /denied/, { denyNet: ['127.0.0.0/8'] });
  const asked = server.requests.length;
  const update = { mirror: 'http://tuf.example.com', metadata, save: true };
  await t.throwsAsync(getTrustedRoot({}, update, never), { code: 'INSECURE_REFUSED' } as object);
  t.is(server.requests.length, asked);
  await refuses('CONFIG_INVALID', /"\/root\.json": it is no root/, {}, Buffer.from('{}'));

  await rm(metadata, { recursive: true });
  t.is(await ask({}, first, false), content.toString());
  await t.throwsAsync(readdir(metadata), { code: 'ENOENT' });
  await ask();
  const root = await kept('root.json');
  await writeFile(root, 'damaged');
  await refuses('CONFIG_INVALID', /root\.json": it is no root/);
});

test('the root of the sigstore project is the one that its own library carries', async (t) => {
  const seeds = join(fileURLToPath(import.meta.resolve('@sigstore/tuf')), '../../seeds.json');
  const [carried] = Object.values(
    JSON.parse(await readFile(seeds, 'utf8')) as Record<string, { readonly 'root.json': string }>,
  );
  const ours = await readFile(join(import.meta.dirname, '../../src/verify/sigstore-root.json'), 'utf8');
  t.deepEqual(JSON.parse(ours), JSON.parse(Buffer.from(carried?.['root.json'] ?? '', 'base64').toString()));
});
