import { randomInt } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { startOrigin } from '../helpers/origin.ts';
import type { SoakOptions, SoakReport } from '../helpers/soak-child.ts';
import { startProcess } from '../helpers/store-process.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

/** `LONGSHORE_BATCHES=2000` for a long run, `LONGSHORE_SEED=1` to repeat one. */
const batches = Number(process.env['LONGSHORE_BATCHES'] ?? 200);
const seed = Number(process.env['LONGSHORE_SEED'] ?? randomInt(2 ** 31));

const script = fileURLToPath(new URL('../helpers/soak-child.ts', import.meta.url));
const mebibyte = 2 ** 20;

test(`batches that are aborted, and whose callbacks, threads and stores fail them, end promptly and leave nothing`, async (t) => {
  t.timeout(3_600_000);
  t.log(`${batches} batches, seed ${seed}`);
  const origin = await startOrigin(t);
  const good: string[] = [];
  for (let at = 0; at < 12; at += 1) {
    const size = at % 4 === 0 ? 3_000_000 : 20_000;
    const route = {
      ...(at % 2 === 0 && { etag: `"${at}"` }),
      ...(at % 3 === 0 && { rate: 20_000_000 }),
      ...(at % 5 === 0 && { delayMs: 30 }),
    };
    const image = await origin.publish({ name: `example.com/i${at}`, size, seed: at, compress: 'gzip' }, route);
    good.push(image.url);
  }
  const silent = await origin.publish({ name: 'example.com/silent' }, { delayMs: 3_600_000 });
  const slow = await origin.publish({ name: 'example.com/slow', size: 4_000_000 }, { rate: 200_000, etag: '"slow"' });
  const bad = [`${origin.url}/missing.aci`, silent.url, slow.url, 'ftp://nothing'];

  const dir = join(await temporaryDirectory(t), 'store');
  const options: SoakOptions = { dir, batches, seed, good, bad };
  const child = startProcess(t, [script, JSON.stringify(options)]);
  const report = JSON.parse((await child.line()) ?? 'null') as SoakReport | null;
  if (!report) return t.fail('it did not come to its end');
  t.log(report);
  const { before, after, longest, faults } = report;
  t.deepEqual(faults, []);
  // Below 0.5 s, half of it the processor time of threads that start: a machine may be several times slower. What would hang is given
  // up after 5 s.
  t.true(longest.ms <= 2_000, `${longest.ms} ms: ${longest.what}`);
  t.true(after.files.length <= before.files.length, 'file descriptors');
  t.true(after.threads <= before.threads, 'threads');
  t.true(after.heap <= before.heap + 8 * mebibyte, `heap: ${after.heap - before.heap} bytes more`);
  t.deepEqual(await readdir(join(dir, 'tmp')), []);
});
