import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import test from 'ava';

const threads = new URL('../../src/bench/threads.ts', import.meta.url).href;

/** In a process of its own: other tests have threads too. */
const program = `
  const { Worker } = await import('node:worker_threads');
  const { once } = await import('node:events');
  const { setTimeout: sleep } = await import('node:timers/promises');
  const { watchThreads } = await import(${JSON.stringify(threads)});
  const read = watchThreads();
  const spin = 'const end = performance.now() + 400; while (performance.now() < end);' +
    'import("node:worker_threads").then(({ parentPort }) => parentPort.once("message", () => undefined))'; // until somebody has looked
  const workers = [{ name: 'index' }, {}, {}].map((options) => new Worker(spin, { ...options, eval: true }));
  while (Object.values(read()).filter((seconds) => seconds > 0.005).length < 4) await sleep(20);
  for (const worker of workers) worker.postMessage('end');
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  console.log(JSON.stringify(read()));
`;

test('processor time is reported by thread: the main one, and workers by their names, in order', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]);
  const seconds = JSON.parse(stdout) as Readonly<Record<string, number>>; // as it was written
  t.deepEqual(Object.keys(seconds), ['main', 'index', 'worker', 'worker 2']);
  for (const [name, taken] of Object.entries(seconds)) t.true(taken > 0.005, `${name}: ${taken}`);
});
