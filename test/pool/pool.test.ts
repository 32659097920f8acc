import { createHash, hash } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { existsSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { openPool, type Pool } from '../../src/pool/pool.ts';
import { buildAci } from '../helpers/archive.ts';
import { follow } from '../helpers/follow.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { until } from '../helpers/until.ts';
import { requestFor } from '../workers/ingest-request.ts';

function openTestPool(t: ExecutionContext, workers: number, sessionsPerWorker: number): Pool {
  const pool = openPool({ workers, sessionsPerWorker });
  t.teardown(() => pool.close());
  return pool;
}

/** A file of zeros, and the task of hashing it. */
async function hashing(t: ExecutionContext, bytes: number) {
  const path = join(await temporaryDirectory(t), 'zeros');
  await using file = await open(path, 'wx');
  await file.truncate(bytes);
  return { path, algorithm: 'sha256' } as const;
}

test.serial('the thread that was started in advance is used by the first download', async (t) => {
  let started = 0; // by this file alone: others may run in the same process
  const count = (): void => void (started += 1);
  subscribe('worker_threads', count);
  t.teardown(() => unsubscribe('worker_threads', count));
  const pool = openTestPool(t, 3, 2);
  pool.warmUp();
  pool.warmUp();
  while (started === 0) await delay(20);
  await delay(200);
  t.is(started, 1);
  await pool.run('reHash', await hashing(t, 1000));
  t.is(started, 1);
});

test('a task whose thread dies is repeated in another one', async (t) => {
  const pool = openTestPool(t, 1, 3);
  const bytes = 200_000_000;
  const request = await hashing(t, bytes);
  const neighbour = await follow(t, pool);
  const hashed = pool.run('reHash', request);
  await pool.recycle(neighbour.threadId);
  await t.throwsAsync(neighbour.result, { message: /exited/ });
  const wanted = createHash('sha256');
  for (let at = 0; at < bytes; at += 1_000_000) wanted.update(Buffer.alloc(1_000_000));
  t.deepEqual(await hashed, { hex: wanted.digest('hex'), bytes });
});

test('a layer whose thread died half way is unpacked again', async (t) => {
  const pool = openTestPool(t, 1, 3);
  const directory = await temporaryDirectory(t);
  const [path, tar] = [join(directory, 'layer'), join(directory, 'tar')];
  const layer = Buffer.alloc(200 * 2 ** 20);
  layer.set(Buffer.from('ustar'), 257);
  const blob = gzipSync(layer, { level: 1 });
  await writeFile(path, blob);
  const [digest = '', diffId = ''] = [blob, layer].map((bytes) => `sha256:${hash('sha256', bytes)}`);
  const neighbour = await follow(t, pool);
  const limit = { unpackedBytes: 2 ** 40, unpacked: new SharedArrayBuffer(8) };
  const unpacked = pool.run('unpackLayer', { path, digest, diffId, tar, ...limit });
  await until(() => existsSync(tar));
  await pool.recycle(neighbour.threadId);
  await t.throwsAsync(neighbour.result, { message: /exited/ });
  t.deepEqual(await unpacked, { tar, size: layer.length, packing: 'gzip' });
});

test('a task that makes two threads die is INTERNAL, and the pool continues', async (t) => {
  const pool = openTestPool(t, 1, 3);
  const hashed = pool.run('reHash', await hashing(t, 2 ** 40));
  const failed = t.throwsAsync(hashed, { code: 'INTERNAL', message: /thread failed twice/ });
  for (let time = 0; time < 2; time++) {
    const neighbour = await follow(t, pool);
    await pool.recycle(neighbour.threadId);
    await t.throwsAsync(neighbour.result);
  }
  await failed;
  t.is((await pool.run('reHash', await hashing(t, 1000))).bytes, 1000);
});

test('no thread gets a second task before the maximum of threads runs', async (t) => {
  const pool = openTestPool(t, 2, 2);
  const first = await follow(t, pool);
  const others = await Promise.all([follow(t, pool), follow(t, pool), follow(t, pool)]);
  const threads = [first, ...others].map(({ threadId }) => threadId).sort();
  t.is(new Set(threads).size, 2);
  t.deepEqual([threads[0], threads[2]], [threads[1], threads[3]]);
});

test.serial('short tasks wait for a thread that takes longer to start than they do', async (t) => {
  let started = 0;
  const count = (): void => void (started += 1);
  subscribe('worker_threads', count);
  t.teardown(() => unsubscribe('worker_threads', count));
  const pool = openTestPool(t, 3, 9);
  const { bytes } = await buildAci({ name: 'example.com/app' });
  const requests = await Promise.all(Array.from({ length: 8 }, () => requestFor(t, { kind: 'bytes', bytes })));
  await Promise.all(requests.map((request) => pool.run('ingest', request)));
  t.is(started, 1);
  const more = await Promise.all(Array.from({ length: 20 }, () => requestFor(t, { kind: 'bytes', bytes })));
  await Promise.all(more.map((request) => pool.run('ingest', request)));
  t.true(started > 1, 'many are worth another one');
});

test('closing ends running tasks, and later ones do not begin', async (t) => {
  const pool = openTestPool(t, 1, 1);
  const underWay = pool.run('reHash', await hashing(t, 2 ** 40));
  const waiting = pool.run('reHash', await hashing(t, 2 ** 40));
  const ended = Promise.all([underWay, waiting].map((task) => t.throwsAsync(task, { code: 'CLOSED' })));
  await pool.close();
  await ended;
  await t.throwsAsync(pool.run('reHash', await hashing(t, 1)), { code: 'CLOSED' });
  await pool.close();
});

test('a task that fails with an ImageError is not repeated', async (t) => {
  const pool = openTestPool(t, 1, 1);
  const missing = pool.run('reHash', { path: join(await temporaryDirectory(t), 'missing'), algorithm: 'sha512' });
  await t.throwsAsync(missing, { code: 'FILE_NOT_FOUND' });
});
