import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { Bench, type Task } from 'tinybench';

import type { Piece } from './micro/piece.ts';
import { scheduler } from './micro/scheduler.ts';
import { signature } from './micro/signature.ts';
import { storeIndex } from './micro/store-index.ts';
import { tarReader } from './micro/tar-reader.ts';
import { texts } from './micro/texts.ts';
import { formatTable } from './report.ts';

/** Single parts of longshore, measured in this process: `node bench/micro.ts [--ms TIME_FOR_EACH]` */
const { values } = parseArgs({ options: { ms: { type: 'string', default: '600' } } });
const time = Number(values.ms);

await using resources = new AsyncDisposableStack();
const directory = await mkdtemp(join(tmpdir(), 'longshore-micro-'));
resources.defer(() => rm(directory, { recursive: true, force: true }));
const pieces: readonly Piece[] = [
  ...(await tarReader()),
  ...scheduler(),
  ...(await storeIndex(resources, directory)),
  ...(await signature(resources)),
  ...texts(),
];

// The minimum counts are for pieces whose single run takes longer than the given time.
const bench = new Bench({ time, iterations: 3, warmupTime: time / 4, warmupIterations: 1, throws: true });
for (const { name, run, before } of pieces) {
  bench.add(name, run, before && { beforeEach: before });
}
await bench.run();

const lines = pieces.map((piece) => line(piece, bench.getTask(piece.name)));
process.stdout.write(`${formatTable(['piece', 'each, median', 'a second', '±', 'runs'], lines)}\n`);

function line({ name, unit, count }: Piece, task: Task | undefined): readonly string[] {
  if (task?.result.state !== 'completed') throw new Error(`${name} was not measured`);
  const { p50, rme, samplesCount } = task.result.latency;
  const eachMs = p50 / count;
  return [
    name,
    `${eachMs < 1 ? `${(eachMs * 1000).toPrecision(3)} µs` : `${eachMs.toPrecision(3)} ms`} a${/^[aeio]/.test(unit) ? 'n' : ''} ${unit}`,
    String(Number((1000 / eachMs).toPrecision(3))),
    `${rme.toFixed(0)} %`,
    String(samplesCount),
  ];
}
