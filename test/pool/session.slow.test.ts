import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { defaultLimits } from '../../src/image/limits.ts';
import { ingestLimits, openPool, type Pool } from '../../src/pool/pool.ts';
import { startSession } from '../../src/pool/session.ts';
import { buildAci, imageIdOf } from '../helpers/archive.ts';
import { follow } from '../helpers/follow.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const never = new AbortController().signal;

function openTestPool(t: ExecutionContext, workers: number, sessionsPerWorker: number): Pool {
  const pool = openPool({ workers, sessionsPerWorker });
  t.teardown(() => pool.close());
  return pool;
}

/** A download that has come half, and the session that follows it. */
async function half(t: ExecutionContext, pool: Pool, signal = never, seed = 1) {
  const directory = await temporaryDirectory(t);
  const { bytes, imageId } = await buildAci({ name: 'example.com/app', size: 3_000_000, seed, compress: 'gzip' });
  const path = join(directory, 'part');
  const [image, archive] = [join(directory, 'image'), join(directory, 'archive')];
  const middle = bytes.length >> 1;
  await writeFile(path, bytes.subarray(0, middle));
  const session = startSession(
    pool,
    { path, shown: 'app', image, archive, limits: ingestLimits(defaultLimits) },
    middle,
    signal,
  );
  const rest = async (): Promise<void> => {
    await appendFile(path, bytes.subarray(middle));
    session.grown(bytes.length);
    session.complete(bytes.length);
  };
  const isOutputThere = async () => (await readdir(directory)).some((name) => name !== 'part');
  return { session, rest, image, archive, imageId, bytes, path, isOutputThere };
}

test('a session reads a growing file to its end', async (t) => {
  const { session, rest, image, archive, imageId, bytes } = await half(t, openTestPool(t, 1, 1));
  await rest();
  t.like(await session.result, { imageId, archiveBytes: bytes.length });
  t.is(imageIdOf(await readFile(image)), imageId);
  t.true((await readFile(archive)).equals(bytes));
});

test('when a thread dies, its sessions start again from their files, complete or not', async (t) => {
  const pool = openTestPool(t, 1, 4);
  const [early, late] = await Promise.all([half(t, pool), half(t, pool, never, 2)]);
  const neighbour = await follow(t, pool);
  await late.rest();
  await pool.recycle(neighbour.threadId);
  await t.throwsAsync(neighbour.result);
  await early.rest();
  t.like(await early.session.result, { imageId: early.imageId });
  t.like(await late.session.result, { imageId: late.imageId });
  t.is(imageIdOf(await readFile(late.image)), late.imageId);
  t.true((await readFile(early.archive)).equals(early.bytes));
});

test('a session that makes two threads die is INTERNAL', async (t) => {
  const pool = openTestPool(t, 1, 4);
  const { session } = await half(t, pool);
  const failed = t.throwsAsync(session.result, { code: 'INTERNAL', message: /thread failed twice/ });
  for (let time = 0; time < 2; time++) {
    const neighbour = await follow(t, pool);
    await pool.recycle(neighbour.threadId);
    await t.throwsAsync(neighbour.result);
  }
  await failed;
});

test('a session ends at once when it is stopped, or its signal is aborted, and leaves no output', async (t) => {
  const pool = openTestPool(t, 1, 4);
  const stopped = await half(t, pool);
  await stopped.session.stop();
  await t.throwsAsync(stopped.session.result, { code: 'CANCELLED' });
  t.false(await stopped.isOutputThere());

  const stop = new AbortController();
  const aborted = await half(t, pool, stop.signal);
  await follow(t, pool); // the thread has begun with all that was before
  stop.abort();
  await t.throwsAsync(aborted.session.result, { code: 'CANCELLED' });
  t.false(await aborted.isOutputThere());

  const late = await half(t, pool, AbortSignal.abort());
  await t.throwsAsync(late.session.result, { code: 'CANCELLED' });
  t.false(await late.isOutputThere());
});

test('stopping a session that has ended has no effect', async (t) => {
  const { session, rest, imageId, isOutputThere } = await half(t, openTestPool(t, 1, 1));
  await rest();
  await session.result;
  await session.stop();
  t.like(await session.result, { imageId });
  t.true(await isOutputThere());
});

test('stopping a session that no thread has begun rejects it after 5 seconds', async (t) => {
  const pool = openTestPool(t, 1, 1);
  await follow(t, pool);
  const { session } = await half(t, pool);
  const began = performance.now();
  await session.stop();
  t.true(performance.now() - began >= 4_900);
  await t.throwsAsync(session.result, { code: 'CANCELLED' });
});
