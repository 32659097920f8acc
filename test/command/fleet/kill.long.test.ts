import { createHash, generateKeyPairSync, randomInt } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import { imageRow, listImages, openPool, openStore, verifyImages } from '../../../src/internal.ts';
import { isThere } from '../../../src/system/files.ts';
import { startPushTarget } from '../../helpers/push-target.ts';
import { startRedis, type TestRedis } from '../../helpers/redis.ts';
import { startRegistry } from '../../helpers/registry.ts';
import { layerOf } from '../../helpers/registry-fetching.ts';
import { openShell, type Shell } from '../../helpers/shell.ts';
import { until } from '../../helpers/until.ts';

/** `LONGSHORE_KILLS=20` for a long run. */
const kills = Number(process.env['LONGSHORE_KILLS'] ?? 5);
/** So many that not all of them are there before the last kill. */
const count = Math.max(40, 8 * kills);
/** A queue is away for so long. */
const awayMs = 5_000;
const machines = [0, 1, 2] as const;

type Row = {
  readonly reference: string;
  readonly status: string;
  readonly imageID: string;
  readonly worker: string;
  readonly pushed?: string;
};
type Running = ReturnType<Shell['start']>;
type Worker = Running & { readonly name: string; readonly store: string };

/** A Redis, a registry that is slow, and the command, by which workers are started that have names, and stores, of their own. */
async function openPlace(t: ExecutionContext) {
  const redis = await startRedis(t);
  if (!redis) return undefined;
  const { directory, run, start } = await openShell(t);
  const registry = await startRegistry(t);
  const base = await layerOf({ base: 'b'.repeat(60_000) });
  const digests = new Map<string, string>();
  for (let index = 0; index < count; index += 1) {
    const repository = `team/app${index}`;
    const layers = [base, await layerOf({ own: String(index).repeat(9_000) })];
    const { digest, manifest } = registry.putImage(repository, '1', { layers });
    digests.set(`docker://${registry.host}/${repository}:1`, digest);
    for (const layer of manifest.layers) {
      const path = `/v2/${repository}/blobs/${layer.digest}`;
      registry.routes[path] = { ...registry.routes[path], delayMs: 100 + ((index * 37) % 500) };
    }
  }
  const at = (name: string): string => join(directory, name);
  await writeFile(at('list.txt'), [...digests.keys()].join('\n'));
  await writeFile(at('secret'), 's'.repeat(40));
  for (const name of ['submit', 'worker']) {
    const { privateKey } = generateKeyPairSync('ed25519');
    await writeFile(at(`${name}.pem`), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  }
  const environment = {
    LONGSHORE_QUEUE: redis.url,
    LONGSHORE_ACCEPT: at('submit.pem'),
    LONGSHORE_ACCEPT_WORKER: at('worker.pem'),
  };
  /** Stores by the name of the worker. */
  const stores = new Map<string, string>();
  return {
    ...{ redis, registry, digests, directory },
    longshore: (line: string) => run(`longshore ${line}`, environment),
    wait: (batch: string) => start(`exec longshore fleet wait ${batch} --progress=plain`, environment),
    /** The submitter is gone as soon as its batch is there. */
    async submitAndDie(batch: string, options: string): Promise<void> {
      const line = `exec longshore fleet submit -f list.txt --batch=${batch} --platform=linux/amd64 ${options}`;
      const { child, result } = start(line, { ...environment, LONGSHORE_SUBMIT_KEY: at('submit.pem') });
      await until(async () => (await redis.ask('EXISTS', `{longshore}:fleet:batch:${batch}`)) === '1');
      child.kill('SIGKILL');
      await result;
    },
    /** @param how - by what command the worker is run */
    work(this: void, store: string, options: string, how = ''): Worker {
      const name = `worker-${stores.size}`;
      stores.set(name, store);
      const own = { ...environment, LONGSHORE_DIR: at(store), LONGSHORE_WORKER_KEY: at('worker.pem') };
      const line = `exec ${how} longshore fleet work --name=${name} --insecure-options=image --jobs=2 ${options}`;
      return { ...start(line, own), name, store };
    },
    storeOf: (worker: string): string => stores.get(worker) ?? 'none',
    allStores: (): ReadonlySet<string> => new Set(stores.values()),
  };
}

type Place = NonNullable<Awaited<ReturnType<typeof openPlace>>>;

/** Kills workers, each of which is replaced, and Redis once. @returns the workers that are there then */
async function killWorkers({ work, redis }: Place, options: string): Promise<readonly Worker[]> {
  const workers = machines.map((machine) => work(`store-${machine}`, options));
  await startedWork(redis);
  for (let kill = 0; kill < kills; kill += 1) {
    await sleep(randomInt(50, 1_000));
    const place = randomInt(machines.length);
    const killed = workers[place];
    killed?.child.kill('SIGKILL');
    await killed?.result;
    workers[place] = work(randomInt(2) === 0 ? (killed?.store ?? '') : `store-new-${kill}`, options);
    if (kill !== Math.floor(kills / 2)) continue;
    await redis.kill();
    await redis.start();
  }
  return workers;
}

/** Some image is worked on. */
const startedWork = (redis: TestRedis): Promise<void> =>
  until(async () => (await redis.ask('KEYS', '{longshore}:*:active')) !== '');

/** Each image is in the result once, and lies where the result says. */
async function checkResult(t: ExecutionContext, place: Place, batch: string): Promise<readonly Row[]> {
  const { longshore, digests, directory, storeOf, allStores } = place;
  const result = await longshore(`fleet result ${batch} --output=json`);
  t.is(result.code, 0, result.stderr);
  const { images } = JSON.parse(result.stdout) as { images: readonly Row[] };
  t.deepEqual(images.map(({ reference }) => reference).toSorted(), [...digests.keys()].toSorted());
  for (const { reference, status } of images) t.regex(status, /^(?:fetched|present)$/, reference);
  let stored = 0;
  for (const store of allStores()) {
    const there = await soundImages(t, join(directory, store));
    for (const { reference, imageID, worker } of images) {
      if (storeOf(worker) !== store) continue;
      t.true(there.has(imageID), `${reference} is not in ${store}: ${[...there].join(' ')}`);
      stored += 1;
    }
  }
  t.is(stored, count);
  return images;
}

/** The images of a store, all of whose blobs are as they should be. In this process, since there are many stores. */
async function soundImages(t: ExecutionContext, dir: string): Promise<ReadonlySet<string>> {
  await using resources = new AsyncDisposableStack();
  if (!(await isThere(join(dir, 'index.sqlite')))) return new Set(); // its worker was killed before
  const store = resources.use(await openStore({ dir, readOnly: true }));
  const pool = resources.use(openPool({ workers: 1, sessionsPerWorker: 1 }));
  const all = { images: store.images(), blobs: store.blobRows(), width: 4 };
  const { damaged } = await verifyImages({ store, pool }, all, new AbortController().signal);
  t.deepEqual(damaged, [], dir);
  return new Set(await Array.fromAsync(listImages(store), (entry) => imageRow(entry).imageID));
}

async function stop(t: ExecutionContext, workers: readonly Worker[]): Promise<void> {
  for (const { child } of workers) child.kill('SIGTERM');
  for (const { result, name } of workers) {
    const { code, stderr } = await result;
    t.is(code, 0, `${name}: ${stderr}`);
  }
}

test('workers, the queue and the submitter are killed at any instant: each image of the batch is brought, and has one result', async (t) => {
  t.timeout(600_000);
  const place = await openPlace(t);
  if (!place) return;
  await place.submitAndDie('stay', '');
  const startMs = Date.now();
  const workers = await killWorkers(place, '--listen=127.0.0.1:0 --peer-secret=secret');
  const waited = await place.wait('stay').result;
  t.is(waited.code, 0, waited.stderr);
  t.log(`${kills} kills, ${count} images, ${Date.now() - startMs} ms`);
  await stop(t, workers);
  await checkResult(t, place, 'stay');
});

test('the same with images that are pushed: the target has each of them, with the digest of its origin', async (t) => {
  t.timeout(600_000);
  const place = await openPlace(t);
  if (!place) return;
  const target = await startPushTarget(t);
  await place.submitAndDie('move', `--to=docker://${target.host}/mirror`);
  const startMs = Date.now();
  const workers = await killWorkers(place, `--allow-to=docker://${target.host}`);
  const waited = await place.wait('move').result;
  t.is(waited.code, 0, waited.stderr);
  t.log(`${kills} kills, ${count} images, ${Date.now() - startMs} ms`);
  await stop(t, workers);
  for (const { reference, pushed = '' } of await checkResult(t, place, 'move'))
    t.is(pushed.split('@')[1], place.digests.get(reference));
  for (const [reference, digest] of place.digests) {
    const name = `mirror/${new URL(reference).pathname.slice(1)}`;
    const { bytes = '' } = target.manifests.get(name) ?? {};
    t.is(`sha256:${createHash('sha256').update(bytes).digest('hex')}`, digest, name);
  }
});

test('a queue that is away for a while is waited for, by workers and by who waits for the batch', async (t) => {
  t.timeout(600_000);
  const place = await openPlace(t);
  if (!place) return;
  const { redis } = place;
  await place.submitAndDie('away', '');
  const waiting = place.wait('away');
  const workers = machines.map((machine) => place.work(`store-${machine}`, ''));
  await startedWork(redis);
  await until(async () => (await redis.ask('PUBSUB', 'NUMSUB', '{longshore}:fleet:news')).endsWith('\n4')); // all of them
  await redis.kill();
  await sleep(awayMs);
  await redis.start();
  const waited = await waiting.result;
  t.is(waited.code, 0, waited.stderr);
  await stop(t, workers);
  for (const { stderr } of [waited, ...(await Promise.all(workers.map(({ result }) => result)))])
    t.is(stderr.match(/is lost: it is waited for|is back$/gm)?.length, 2, stderr);
  await checkResult(t, place, 'away');
});

test('a worker whose disk is full rests, and another one brings what it could not', async (t) => {
  t.timeout(600_000);
  const place = await openPlace(t);
  if (!place) return;
  const { redis, directory } = place;
  await mkdir(join(directory, 'small'));
  await place.submitAndDie('full', '');
  const mounted = `mount -t tmpfs -o size=1200k tmpfs ${directory}/small || exit 99; exec "$@"`;
  const small = place.work('small', '--batch=full', `unshare -m sh -c '${mounted}' sh`);
  const hasEnded = small.result.then(() => 'ended' as const);
  const isThere = async (state: string) => (await redis.ask('KEYS', `{longshore}:*:${state}`)) !== '';
  const failed = startedWork(redis).then(() => until(async () => !(await isThere('active'))));
  if ((await Promise.race([failed, hasEnded])) === 'ended') {
    t.notRegex((await small.result).stderr, /^error:/m);
    t.log('skipped: this machine does not let us mount');
    return;
  }
  const filler = `/proc/${small.child.pid}/root${directory}/small/filler`; // only the worker sees its disk
  await t.throwsAsync(writeFile(filler, Buffer.alloc(2_000_000)), { code: 'ENOSPC' });
  const large = place.work('large', '');
  const waited = await place.wait('full').result;
  t.is(waited.code, 0, waited.stderr);
  await stop(t, [large]);
  const { code, stderr } = await small.result;
  t.is(code, 0, stderr);
  t.is(stderr.match(/^warning: this worker takes no images for 30 s: no room for its /gm)?.length, 1, stderr);
  t.regex(stderr, /^warning: that the batch full has ended is known until this worker ends, and not kept: .*ENOSPC/m);
  const result = await place.longshore('fleet result full --output=json');
  const { images } = JSON.parse(result.stdout) as { images: readonly Row[] };
  t.is(images.filter(({ status }) => status === 'fetched').length, count);
  t.true(images.some(({ worker }) => worker === large.name));
});
