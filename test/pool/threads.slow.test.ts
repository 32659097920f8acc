import { readdirSync, readlinkSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Worker } from 'node:worker_threads';

import test, { type ExecutionContext } from 'ava';

import { defaultLimits } from '../../src/image/limits.ts';
import { ingestLimits, openPool, type Pool } from '../../src/pool/pool.ts';
import { startSession } from '../../src/pool/session.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const own = new URL('../../workers/index.ts', import.meta.url).href;

/** A pool whose threads run `script`, and the threads that it starts. */
async function openScripted(t: ExecutionContext, script: string, workers = 2) {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'worker.mjs');
  await writeFile(path, script);
  const started: Worker[] = [];
  const onWorker = (worker: Worker): void => void started.push(worker);
  process.on('worker', onWorker);
  t.teardown(() => void process.off('worker', onWorker));
  const pool: Pool = openPool({ workers, sessionsPerWorker: 2, filename: pathToFileURL(path).href });
  t.teardown(() => pool.close());
  const file = join(directory, 'file');
  await writeFile(file, 'content');
  return { pool, path, file, started, task: { path: file, algorithm: 'sha256' } as const };
}

test.serial('threads that end before they are ready fail their tasks after three starts', async (t) => {
  const { pool, started, task } = await openScripted(t, 'throw new Error("cannot load");', 1);
  const message = /3 threads in a row ended before they were ready: cannot load/;
  const tasks = [1, 2, 3].map(() => t.throwsAsync(pool.run('reHash', task), { code: 'INTERNAL', message }));
  await Promise.all(tasks);
  t.is(started.length, 3);
});

test.serial('a thread that exits while it loads counts as one that did not start', async (t) => {
  const { pool, task, file } = await openScripted(t, 'process.exit(3);');
  await t.throwsAsync(pool.run('reHash', task), { code: 'INTERNAL' });
  const request = { shown: 'a', path: file, image: `${file}.image`, limits: ingestLimits(defaultLimits) };
  const session = startSession(pool, request, 7, new AbortController().signal);
  await t.throwsAsync(session.result, { code: 'INTERNAL' });
});

test.serial('once threads start again, later tasks are done', async (t) => {
  const { pool, path, task } = await openScripted(t, 'throw new Error("cannot load");');
  await t.throwsAsync(pool.run('reHash', task), { code: 'INTERNAL' });
  await writeFile(path, `export * from ${JSON.stringify(own)};`);
  t.is((await pool.run('reHash', task)).bytes, 7);
});

test.serial('threads that were ready may die as often as they like', async (t) => {
  const { pool, started, task } = await openScripted(t, `export * from ${JSON.stringify(own)};`, 3);
  for (let round = 0; round < 3; round++) {
    await Promise.all(Array.from({ length: 8 }, () => pool.run('reHash', task)));
    await Promise.all(started.map((worker) => worker.terminate()));
  }
  t.is((await pool.run('reHash', task)).bytes, 7);
});

test.serial('a thread that dies while it opens files leaves none of them open', async (t) => {
  const { pool, started, task, file } = await openScripted(t, `export * from ${JSON.stringify(own)};`, 1);
  let isOver = false;
  const hash = async (): Promise<void> => {
    while (!isOver) await pool.run('reHash', task).catch(() => undefined); // its thread may have died of nothing, twice
  };
  const hashing = Promise.all([hash(), hash()]);
  for (let death = 0; death < 15; death++) {
    await pool.run('reHash', task).catch(() => undefined);
    await started.at(-1)?.terminate();
  }
  isOver = true;
  await hashing;
  await pool.close();
  const open = readdirSync('/proc/self/fd').filter((descriptor) => isLink(`/proc/self/fd/${descriptor}`, file));
  t.deepEqual(open, []);
});

function isLink(path: string, to: string): boolean {
  try {
    return readlinkSync(path) === to;
  } catch {
    return false; // it is closed by now
  }
}
