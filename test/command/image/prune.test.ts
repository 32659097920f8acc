import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { isThere } from '../../../src/system/files.ts';
import { buildAci } from '../../helpers/archive.ts';
import { putAttached, putBuilt } from '../../helpers/attached.ts';
import { commandFile } from '../../helpers/built.ts';
import { environmentIn } from '../../helpers/environment.ts';
import { startOrigin } from '../../helpers/origin.ts';
import { startRegistry } from '../../helpers/registry.ts';
import { runHere } from '../../helpers/run-here.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

type Row = { readonly imageID: string; readonly name: string; readonly reference?: string };
type Pruned = {
  readonly schema: string;
  readonly removed: readonly Row[];
  readonly kept: number;
  readonly bytes: number;
};

/** A store with `example.com/app`, which needs `example.com/base`, with `example.com/old`, and with two images of a registry. */
async function pruning(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const origin = await startOrigin(t);
  const registry = await startRegistry(t);
  const base = await origin.publish({ name: 'example.com/base', version: '1', size: 10_000 });
  const dependencies = [{ imageName: 'example.com/base', labels: [{ name: 'version', value: '1' }] }];
  const app = await origin.publish({ name: 'example.com/app', version: '1', dependencies });
  const old = await origin.publish({ name: 'example.com/old', version: '1', dependencies, size: 20_000 });
  const { index, images } = putBuilt(registry);
  const sbom = putAttached(registry, 'app', { tag: `${images[0]?.digest.replace(':', '-') ?? ''}.sbom` });
  registry.putImage('other', '1', { layers: ['other'] });
  const docker = (name: string): string => `docker://${registry.host}/${name}`;
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_INSECURE_OPTIONS: 'image,http',
    LONGSHORE_DISCOVER: `example.com=${origin.url}`,
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_PLATFORM: 'linux/amd64',
  };
  const run = (...args: readonly string[]) => runHere(args, environment);
  const fetched = await run(
    ...['fetch', '--referrers', '--lock', at('lock.json'), 'example.com/app:1', 'example.com/old:1'],
    ...[docker('app:1'), docker('other:1')],
  );
  t.is(fetched.code, 0, fetched.stderr);
  const asked = { origin: origin.requests.length, registry: registry.requests.length };
  return {
    ...{ at, run, environment, base, app, old, docker, index, sbom, origin, registry, asked },
    write: async (name: string, ...lines: readonly string[]) => {
      await writeFile(at(name), `${lines.join('\n')}\n`);
      return at(name);
    },
    prune: async (...args: readonly string[]) => {
      const { code, stdout, stderr } = await run('image', 'prune', '--output=json', ...args);
      return { code, stderr, ...(stdout === '' ? {} : (JSON.parse(stdout) as Pruned)) };
    },
    names: async () => {
      const { stdout } = await run('image', 'list', '--fields=name', '--no-legend');
      return stdout
        .split('\n')
        .map((line) => line.trim())
        .filter(Boolean)
        .toSorted();
    },
  };
}

test('what no list names or needs is removed, with its blobs, and nothing is asked of a server', async (t) => {
  const { prune, names, write, run, docker, app, old, registry, origin, asked } = await pruning(t);
  const list = await write('list', 'example.com/app:1', docker('app:1'));
  const before = await names();
  const dry = await prune('-f', list, '--dry-run');
  t.deepEqual(
    dry.removed?.map(({ name }) => name).toSorted(),
    ['example.com/old', `${registry.host.replace(':', '_')}/other`].toSorted(),
  );
  t.deepEqual(await names(), before, 'a dry run removes nothing');

  const { code, schema, removed, kept, bytes } = await prune('-f', list);
  t.is(code, 0);
  t.is(schema, 'longshore.prune/1');
  t.is(removed?.length, 2);
  t.is(kept, 3);
  t.true((bytes ?? 0) > 20_000);
  t.is((await names()).length, 3);
  t.is((await run('image', 'verify')).code, 0);
  t.is((await run('image', 'show', old.imageId)).code, 4);
  const offline = await run('fetch', '--full', '--store-only', '-f', list);
  t.is(offline.code, 0, offline.stderr);
  t.true(offline.stdout.startsWith(app.imageId));
  t.deepEqual({ origin: origin.requests.length, registry: registry.requests.length }, asked);
  const again = await prune('-f', list);
  t.deepEqual(again.removed, []);
});

test('what is attached to an image that is kept stays', async (t) => {
  const { prune, write, docker, sbom, run, at } = await pruning(t);
  t.is((await prune('-f', await write('list', docker('app:1')))).code, 0);
  t.true(await isThere(at(`store/blobs/sha256/${sbom.digest.slice('sha256:'.length)}`)));
  t.is((await run('image', 'verify')).code, 0);
});

test('a lock file keeps what it has, in each platform; a list and a lock file may stand together', async (t) => {
  const { prune, write, names, at, run } = await pruning(t);
  t.deepEqual((await prune('--lock', at('lock.json'))).removed, []);
  const all = await names();
  t.is((await run('fetch', '--lock', at('part.json'), 'example.com/old:1')).code, 0);
  const { code, removed } = await prune('--lock', at('part.json'), '-f', await write('list', 'example.com/app:1'));
  t.is(code, 0);
  t.is(removed?.length, all.length - 3);
  t.deepEqual(await names(), ['example.com/app:1', 'example.com/base:1', 'example.com/old:1']);
});

test('a reference that the store cannot answer stops it, and nothing is removed', async (t) => {
  const { prune, write, names, at, docker } = await pruning(t);
  const before = await names();
  for (const wrong of ['example.com/app:2', docker('app:2'), 'https://example.com/a.aci', at('no.aci')]) {
    const { code, stderr } = await prune('-f', await write('list', 'example.com/app:1', wrong));
    t.is(code, 4, stderr);
    t.regex(stderr, /NOT_IN_STORE/);
  }
  const lock = { schema: 'longshore.lock/2', images: { 'example.com/x': { imageID: `sha512-${'0'.repeat(128)}` } } };
  t.is((await prune('--lock', await write('other.json', JSON.stringify(lock)))).code, 4);
  t.deepEqual(await names(), before);
});

test('nothing is removed without --yes where nothing would stay', async (t) => {
  const { prune, write, names, run } = await pruning(t);
  const before = await names();
  const empty = await write('empty', '# nothing');
  for (const args of [['-f', empty], []]) {
    const { code, stderr } = await prune(...args);
    t.is(code, 2, stderr);
  }
  t.deepEqual(await names(), before);
  const { code, removed } = await prune('-f', empty, '--yes');
  t.is(code, 0);
  t.is(removed?.length, before.length);
  t.deepEqual(await names(), []);
  t.is((await run('image', 'prune', '-f', empty, '--yes')).stdout, '');
});

test('the text lists what went, and how many bytes that freed', async (t) => {
  const { run, write } = await pruning(t);
  const { code, stdout } = await run('image', 'prune', '-f', await write('list', 'example.com/app:1'));
  t.is(code, 0);
  t.regex(stdout, /example\.com\/old:1 +.*\n/);
  t.regex(stdout, /removed 3 images: [\d.]+ .*B\n$/);
});

test('images that come while it runs stay', async (t) => {
  const { run, write, prune, names, origin } = await pruning(t);
  await origin.publish({ name: 'example.com/late', version: '1' });
  const list = await write('list', 'example.com/app:1');
  const [fetched, pruned] = await Promise.all([
    run('fetch', '--full', 'example.com/app:1', 'example.com/late:1'),
    prune('-f', list),
  ]);
  t.deepEqual([fetched.code, pruned.code], [0, 0], fetched.stderr + pruned.stderr);
  t.is((await run('image', 'verify')).code, 0);
  t.true((await names()).includes('example.com/app:1'));
});

test('prune, gc and rm say what they have removed when they are interrupted, and leave a sound store; the same command goes on', async (t) => {
  const { at, run, environment, write, names } = await pruning(t);
  const list = await write('list', 'example.com/base:1');
  const blobs = (): number => readdirSync(at('store/blobs'), { recursive: true }).length;
  const interrupt = async (...args: readonly string[]) => {
    const controller = new AbortController();
    const running = runHere(['image', ...args], environment, undefined, controller.signal);
    let isOver = false;
    void running.finally(() => (isOver = true));
    for (const before = blobs(); blobs() === before && !isOver;) await new Promise(setImmediate);
    controller.abort(new Error('interrupted'));
    return running;
  };

  const before = (await names()).length;
  const { stdout, stderr } = await interrupt('prune', '-f', list, '--output=json');
  const { removed, kept } = JSON.parse(stdout) as Pruned;
  t.true(removed.length > 0 && removed.length < 4, stdout);
  t.is((await names()).length, before - removed.length);
  t.is(kept, before - removed.length);
  t.regex(stderr, /^interrupted before all of it was removed: the same command goes on/m);
  t.is((await run('image', 'verify')).code, 0);
  t.is((await run('image', 'prune', '-f', list)).code, 0);
  t.deepEqual(await names(), ['example.com/base:1']);

  await run('fetch', 'example.com/app:1', 'example.com/old:1');
  const collected = await interrupt('gc', '--grace-period=1ms');
  t.regex(collected.stdout, /^removed [12] image/m);
  t.regex(collected.stderr, /^interrupted before all of it was removed/m);
  t.is((await run('image', 'verify')).code, 0);
  t.is((await run('image', 'gc', '--grace-period=1ms')).code, 0);
  t.deepEqual(await names(), []);

  await run('fetch', 'example.com/app:1', 'example.com/old:1');
  const taken = await interrupt('rm', 'example.com/app', 'example.com/old', 'example.com/base');
  const ids = taken.stdout.trim().split('\n');
  t.true(ids.length < 3, taken.stdout);
  t.regex(taken.stderr, new RegExp(`^removed ${ids.length} image`, 'm'));
  t.is((await names()).length, 3 - ids.length);
});

test('a prune that is killed leaves a sound store, which the next one goes on with', async (t) => {
  const { at, run, write, environment, names } = await pruning(t);
  const files: string[] = [];
  for (let number = 0; number < 60; number += 1) {
    const path = at(`${number}.aci`);
    await writeFile(path, (await buildAci({ name: `example.com/many-${number}`, size: 2_000 })).bytes);
    files.push(path);
  }
  t.is((await run('fetch', ...files)).code, 0);
  const list = await write('list', 'example.com/app:1');
  const before = (await names()).length;
  for (let round = 0; round < 3; round += 1) {
    const env = { ...process.env, ...environment };
    const child = spawn(process.execPath, [commandFile('bin'), 'image', 'prune', '-f', list], { env, stdio: 'ignore' });
    const ended = once(child, 'exit');
    while (child.exitCode === null && (await names()).length === before) await new Promise(setImmediate);
    child.kill('SIGKILL');
    await ended;
    const verified = await run('image', 'verify', '--output=json');
    t.is((JSON.parse(verified.stdout) as { damaged: unknown[] }).damaged.length, 0, verified.stdout);
    t.is((await run('fetch', '--store-only', '-f', list)).code, 0);
    if ((await names()).length < before) break;
  }
  t.is((await run('image', 'prune', '-f', list)).code, 0);
  t.deepEqual(await names(), ['example.com/app:1', 'example.com/base:1']);
});

test('an image that a tag brought stays for a list that has it by its digest', async (t) => {
  const { docker, index, write, prune, names } = await pruning(t);
  const list = await write('digest.txt', docker(`app@${index.digest}`));
  const { code, stderr, kept } = await prune('-f', list);
  t.deepEqual([code, kept], [0, 1], stderr);
  t.deepEqual(await names(), [docker('app:1').slice('docker://'.length)]);
  const other = await write('other.txt', docker(`other@${index.digest}`));
  t.is((await prune('-f', other)).code, 4);
});
