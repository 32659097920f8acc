import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import test from 'ava';

import { type Gate, judge } from '../bench/gates.ts';
import type { Measured } from '../bench/measure.ts';
import { predict } from '../bench/predict.ts';
import { formatRows, summarise } from '../bench/report.ts';
import { takeTurns } from '../bench/take-turns.ts';
import { watchOthers } from '../bench/watch-others.ts';
import { until } from './helpers/until.ts';

const exec = promisify(execFile);

/** A run of that many seconds, of which others took a share of the machine. */
function measured(seconds: number, share: number): Measured {
  return { seconds, cpuSeconds: seconds, peakBytes: 1, others: { ms: share * seconds * 1000, share } };
}

/** A contender whose runs, after the one that warms up, are these. */
function contender(who: string, ...runs: readonly Measured[]) {
  const left = [measured(100, 0), ...runs];
  return { who, run: () => Promise.resolve(left.shift() ?? measured(NaN, 0)) };
}

test('a run that others disturb is made again, and counts for nothing', async (t) => {
  const runs = [measured(9, 0.5), measured(8, 0.2), measured(1, 0.05), measured(3, 0.1)];
  const [row] = await takeTurns([contender('a', ...runs)], { rounds: 2, tries: 3, warmUp: true });
  t.deepEqual(row?.rounds, [measured(1, 0.05), measured(3, 0.1)]);
  t.like(row && summarise(row), { wallMs: 2000, discarded: 2, disturbed: 0 });
  t.regex(formatRows(row ? [row] : []), /Discarded because others took more than 10 % of the machine: 2 of 4 runs\.$/);
});

test('of runs that others all disturb the least disturbed one counts, and the table says so', async (t) => {
  const loud = contender('loud', measured(9, 0.5), measured(8, 0.2), measured(7, 0.3));
  const quiet = contender('quiet', measured(1, 0));
  const rows = await takeTurns([loud, quiet], { rounds: 1, tries: 3, warmUp: true });
  t.deepEqual(rows[0]?.rounds, [measured(8, 0.2)]);
  t.true(formatRows(rows).endsWith('2 of 4 runs.\nNo quiet run for 1 of 2: the least disturbed one counts.'));
  t.regex(formatRows(rows.slice(0, 1)), /The machine was never quiet/);
});

test('what a process of others takes is seen', async (t) => {
  const others = await watchOthers();
  // it outlives the shell that begins it, so it is no child of ours
  const spin = 'const end = Date.now() + 60_000; while (process.cpuUsage().user < 300_000 && Date.now() < end);';
  await exec('sh', ['-c', `'${process.execPath}' -e '${spin}' >/dev/null 2>&1 & exit`]);
  let seen = await others();
  await until(async () => (seen = await others()).ms >= 200);
  t.true(seen.share > 0 && seen.share <= 1);
});

test('the model names what a run waits for', (t) => {
  const costs = {
    ...{ startMs: 500, startCpuMs: 800 },
    ...{ mainMsAnImage: 1, mainMsAMiB: 1, threadsMsAnImage: 2, threadsMsAMiB: 10 },
  };
  const work = { images: 100, packedMiB: 500, tarMiB: 1000 };
  const network = { bitsPerSecond: 2 ** 33, connectionBitsPerSecond: 2 ** 33, latencyMs: 0, slots: 8 };
  t.deepEqual(predict(costs, work, { ...network, processors: 2 }), { wall: 'processors', wallMs: 500 + 5_400 });
  t.deepEqual(predict(costs, work, { ...network, processors: 1 }), { wall: 'processors', wallMs: 800 + 10_800 });
  t.deepEqual(predict(costs, work, { ...network, processors: 32 }), { wall: 'main thread', wallMs: 500 + 600 });
  const slow = { ...network, processors: 32, latencyMs: 400 };
  t.deepEqual(predict(costs, work, slow), {
    wall: 'network',
    wallMs: 500 + (500 * 2 ** 23 * 1000) / 2 ** 33 / 8 + 10_000,
  });
});

test('what was reached is missed once it is worse by more than noise, and what was not reached is only shown', (t) => {
  const gates: readonly Gate[] = [
    { case: 'a', what: 'kept', of: (row) => row('x').wallMs, unit: 'ms', gate: 100, then: 50, isReached: true },
    { case: 'a', what: 'wanted', of: (row) => row('x').cpuMs, unit: 'ms', gate: 100, isReached: false },
    { case: 'a', what: 'absent', of: (row) => row('y').wallMs, unit: 'ms', gate: 100, isReached: true },
    { case: 'b', what: 'other', of: (row) => row('x').wallMs, unit: 'ms', gate: 1, isReached: true },
  ];
  const judged = (wallMs: number) => {
    const rows = [{ who: 'x', wallMs, cpuMs: 500, peakMiB: 1, facts: {}, discarded: 0, disturbed: 0 }];
    return judge('a', rows, gates);
  };
  t.deepEqual(judged(114).missed, []);
  t.deepEqual(judged(116).missed, ['a: kept: 116 ms, the gate is 100 ms']);
  t.is(
    judged(90).table,
    [
      '| goal | gate | then | got |  |',
      '| --- | --- | --- | --- | --- |',
      '| kept | ≤ 100 ms | ≤ 50.00 ms | 90.00 ms | reached |',
      '| wanted | ≤ 100 ms |  | 500 ms | missed |',
    ].join('\n'),
  );
  t.is(judge('c', [], gates).table, undefined);
});
