import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { openCommandFleet } from '../../helpers/fleet-command.ts';
import { runHere } from '../../helpers/run-here.ts';
import { fits } from '../../helpers/schemas.ts';
import { until } from '../../helpers/until.ts';

const platform = '--platform=linux/amd64';

test('a worker takes blobs from another one by the secret that both have, and without it from the registry', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, images, longshore, work, registry } = fleet;
  const at = (name: string): string => join(directory, name);
  await writeFile(at('secret'), 'a'.repeat(32));
  await writeFile(at('other'), 'b'.repeat(32));
  const fetched = await runHere(
    ['fetch', '--dir', at('store-one'), '--insecure-options=image', platform, '--progress=none', ...images],
    { HOME: directory, LONGSHORE_SYSTEM_CONFIG: at('system'), LONGSHORE_LOCAL_CONFIG: at('local') },
  );
  t.is(fetched.code, 0, fetched.stderr);
  const sharing = (secret: string) => [`--peer-secret=${at(secret)}`, '--listen=127.0.0.1:0'];
  const one = work('one', '--batch=none', ...sharing('secret'));
  const isThere = async () => (await longshore('fleet', 'status')).stdout.includes('http://127.0.0.1:');
  await until(isThere);

  const blobsAsked = () => registry.requests.filter(({ url }) => url.includes('/blobs/')).length;
  const before = blobsAsked();
  t.is((await longshore('fleet', 'submit', ...images, '--batch=first', platform)).code, 0);
  const two = await work('two', '--batch=first', ...sharing('secret')).ended;
  t.is(two.code, 0, two.stderr);
  t.is(two.stderr.match(/^fetched /gm)?.length, 3, two.stderr);
  t.is(blobsAsked(), before);

  t.is((await longshore('fleet', 'submit', ...images, '--batch=second', platform)).code, 0);
  const three = await work('three', '--batch=second', ...sharing('other')).ended;
  t.is(three.code, 0, three.stderr);
  t.is(three.stderr.match(/^fetched /gm)?.length, 3, three.stderr);
  t.true(blobsAsked() > before);
  t.regex(three.stderr, /^warning: the peer 127\.0\.0\.1:\d+ refuses the password by which this machine asks it$/m);
  t.notRegex(three.stderr + two.stderr, /aaaa|bbbb/);
  one.stop();
  t.is((await one.ended).code, 0);
});

test('a batch for everywhere comes into the store of each worker, and the registry is asked for each blob once', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, images, longshore, work, registry } = fleet;
  await writeFile(join(directory, 'secret'), 'a'.repeat(32));
  const names = ['one', 'two', 'three', 'four', 'five'];
  const sharing = [`--peer-secret=${join(directory, 'secret')}`, '--listen=127.0.0.1:0'];
  const workers = names.map((name) => work(name, '--batch=all', ...sharing));
  await until(async () => (await longshore('fleet', 'status')).stdout.match(/http:/g)?.length === names.length);
  t.is((await longshore('fleet', 'submit', ...images, '--batch=all', '--everywhere', platform)).code, 0);
  const waited = await longshore('fleet', 'wait', 'all');
  t.is(waited.code, 0, waited.stderr);
  for (const { ended } of workers) {
    const { code, stderr } = await ended;
    t.is(code, 0, stderr);
  }
  for (const name of names) {
    const { code, stdout } = await longshore(
      'image',
      'list',
      '--output=json',
      '--dir',
      join(directory, `store-${name}`),
    );
    t.is(code, 0);
    t.is((JSON.parse(stdout) as { images: unknown[] }).images.length, images.length, name);
  }
  const blobs = registry.requests.flatMap(({ url }) => /blobs\/(.*)$/.exec(url)?.[1] ?? []);
  t.is(blobs.length, new Set(blobs).size, 'each of them once');
  const { code, stdout } = await longshore('fleet', 'status', 'all', '--output=json');
  t.is(code, 0);
  t.like(fits(t, stdout), { batches: [{ state: 'complete', done: images.length, failed: 0 }] });
});

test('what only a worker has that is gone is brought again by one of the others, and they take it from that one', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, images, longshore, work, registry, redis } = fleet;
  await writeFile(join(directory, 'secret'), 'a'.repeat(32));
  const sharing = [`--peer-secret=${join(directory, 'secret')}`, '--listen=127.0.0.1:0'];
  const held = Object.keys(registry.routes).filter((path) => path.includes('/team/app2/blobs/'));
  const routes = held.map((path) => registry.routes[path] ?? {});
  for (const path of held) registry.routes[path] = { handler: () => undefined }; // so that the batch goes on
  const submitted = await longshore(
    'fleet',
    'submit',
    ...images,
    '--batch=all',
    '--everywhere',
    platform,
    '--output=json',
  );
  const { id } = JSON.parse(submitted.stdout) as { readonly id: string };
  const gone = work('gone', '--batch=all', ...sharing);
  await until(async () => (await redis.ask('HLEN', `{longshore}:fleet:results:${id}`)) === '2');
  gone.stop();
  t.is((await gone.ended).code, 0);
  for (const [at, path] of held.entries()) registry.routes[path] = routes[at] ?? {};
  const before = registry.requests.length;
  const workers = ['one', 'two', 'three'].map((name) => work(name, '--batch=all', ...sharing));
  for (const { ended } of workers) {
    const { code, stderr } = await ended;
    t.is(code, 0, stderr);
  }
  const blobs = registry.requests.slice(before).flatMap(({ url }) => /app[01]\/blobs\/(.*)$/.exec(url)?.[1] ?? []);
  t.is(blobs.length, new Set(blobs).size, 'each of them once');
  t.is(blobs.length, 4);
  t.is(await redis.ask('KEYS', '*:fleet:claims:*'), '', 'claims go with their batch');
});

test('a store is given to other machines over TLS only, by a long secret, and to workers that are named', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, work } = fleet;
  const [short, long] = [join(directory, 'short'), join(directory, 'long')];
  await writeFile(short, 'too short');
  await writeFile(long, 'l'.repeat(40));
  const cases: readonly (readonly [RegExp, ...string[]])[] = [
    [/^error: USAGE: --listen: it needs --peer-secret FILE/m, '--listen=127.0.0.1:0'],
    [/^error: USAGE: --peer-secret: ".*short" has fewer than 32 bytes/m, `--peer-secret=${short}`],
    [/^error: USAGE: --listen: other machines reach it: give --cert/m, '--listen=0.0.0.0:0', `--peer-secret=${long}`],
    [/^error: USAGE: --advertise: it needs --listen/m, '--advertise=a:1', `--peer-secret=${long}`],
    [/^error: USAGE: --name: want 1 to 100 letters/m, '--name=a/b'],
    [/^error: USAGE: --allow-to: .*docker:\/\/HOST/m, '--allow-to=/etc'],
  ];
  for (const [expected, ...args] of cases) {
    const { code, stderr } = await work('one', ...args).ended;
    t.regex(stderr, expected, args.join(' '));
    t.is(code, 2, args.join(' '));
  }
});
