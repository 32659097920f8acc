import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { type Corpus, makeCorpus, serve } from './corpus.ts';
import { mainThread, type Measured, measureThreads } from './measure.ts';
import { type Costs, predict, type Surroundings, type Work } from './predict.ts';
import { formatRows, formatTable, summarise, type Summary } from './report.ts';
import { floors, runFloor } from './run-floor.ts';
import { takeTurns } from './take-turns.ts';

/**
 * Predicts times from costs that it measures first, and shows the error where that can be checked: `node bench/model.ts
 * [--rounds N] [--tries N] [--small]`
 */
const number = { type: 'string', default: '5' } as const;
const flag = { type: 'boolean', default: false } as const;
const { values } = parseArgs({ options: { rounds: number, tries: number, small: flag } });

const latencyMs = 50;
const rate = 10_000_000;
await using resources = new AsyncDisposableStack();
const scratch = await mkdtemp(join(tmpdir(), 'longshore-model-'));
resources.defer(() => rm(scratch, { recursive: true, force: true }));
const many = await publish('many', values.small ? 50 : 1_000, values.small ? 1e6 : 20e6);
const batch = await publish('batch', values.small ? 4 : 20, values.small ? 40e6 : 401e6);

const rows = await takeTurns(
  [
    { who: 'one small image', run: () => fetchTimed(many, many.urls.slice(0, 1)) },
    { who: 'many small images', run: () => fetchTimed(many, many.urls) },
    { who: 'batch', run: () => fetchTimed(batch, batch.urls) },
    { who: 'batch, processor 0', run: () => fetchTimed(batch, batch.urls, '0') },
    { who: 'batch, processors 0 and 1', run: () => fetchTimed(batch, batch.urls, '0,1') },
    { who: 'many small images, processor 0', run: () => fetchTimed(many, many.urls, '0') },
    { who: 'batch, slow network', run: () => fetchTimed(batch, batch.slowUrls) },
    ...floors(batch.directory, batch.files),
    { who: 'floor of nothing', run: () => runFloor(batch.directory, [], '') },
  ],
  { rounds: Number(values.rounds), tries: Number(values.tries), warmUp: !values.small },
);
const [one, all, whole, onOne, onTwo, manyOnOne, slowly, floor, written, nothing] = rows.map(summarise);
if (!one || !all || !whole || !onOne || !onTwo || !manyOnOne || !slowly || !floor || !written || !nothing)
  throw new Error('a contender has no row');
const costs = costsOf(one, all, whole);
const floorMsAMiB = {
  'floor: inflate and hash': (floor.cpuMs - nothing.cpuMs) / batch.work.tarMiB,
  'floor: write': (written.cpuMs - floor.cpuMs) / batch.work.tarMiB,
};

const loopback = { bitsPerSecond: Infinity, connectionBitsPerSecond: Infinity, latencyMs: 0, slots: 8 };
const here: Surroundings = { ...loopback, processors: availableParallelism() };
const checks: readonly (readonly [Summary, Work, Surroundings])[] = [
  [onOne, batch.work, { ...here, processors: 1 }],
  [onTwo, batch.work, { ...here, processors: Math.min(2, here.processors) }],
  [manyOnOne, many.work, { ...here, processors: 1 }],
  [slowly, batch.work, { ...here, latencyMs, connectionBitsPerSecond: rate * 8 }],
];
const checked = checks.map(([{ who, wallMs }, work, surroundings]) => {
  const predicted = predict(costs, work, surroundings);
  const error = `${((predicted.wallMs / wallMs - 1) * 100).toFixed(0)} %`;
  return [who, seconds(predicted.wallMs), seconds(wallMs), error, predicted.wall];
});

const images = 10_000;
const network = { bitsPerSecond: 10e9, connectionBitsPerSecond: 10e9, latencyMs: 1, slots: 64 };
const ahead = [0.02, 0.1, 1, 10, 100].map((each) => {
  const packedMiB = (images * each * batch.work.packedMiB) / batch.work.tarMiB;
  const on = (processors: number) =>
    predict(costs, { images, packedMiB, tarMiB: images * each }, { ...network, processors });
  const from = Array.from({ length: 256 }, (_, at) => at + 1).find(
    (processors) => on(processors).wall === 'main thread',
  );
  const cells = [8, 32]
    .map(on)
    .map(({ wallMs, wall }) => `${Number(((images * 1000) / wallMs).toPrecision(2))}, ${wall}`);
  return [`${each} MiB`, ...cells, from === undefined ? 'never' : `${from} processors`];
});

const costLines = Object.entries({ ...costs, ...floorMsAMiB }).map(([name, ms]) => [name, ms.toFixed(2)]);
const parts = [
  `Measured:\n\n${formatRows(rows)}`,
  `Costs of the first three rows, and what of threadsMsAMiB is the floor's:\n\n${formatTable(['cost', 'ms'], costLines)}`,
  'Predicted from them, and measured. The origin takes processor time here too, which the model does not know of:',
  formatTable(['what', 'predicted', 'measured', 'error', 'the wall'], checked),
  'Images a second of 10 000 at 10 Gbit/s, and their wall: extrapolated from this machine, checked by nothing:',
  formatTable(['tar of each', '8 processors', '32 processors', 'the main thread is the wall from'], ahead),
];
process.stdout.write(`${parts.join('\n\n')}\n`);

async function publish(name: string, count: number, tarBytes: number) {
  const directory = join(scratch, name);
  const corpus = resources.use(await makeCorpus(directory, { count, tarBytes }));
  const slow = resources.use(await serve(directory, count, { delayMs: latencyMs, rate }));
  const work: Work = { images: count, packedMiB: corpus.packedBytes / 2 ** 20, tarMiB: corpus.tarBytes / 2 ** 20 };
  return {
    directory,
    urls: corpus.urls,
    files: corpus.files,
    slowUrls: slow.urls,
    longshores: corpus.longshores,
    work,
  };
}

/** Fetches a list into an empty store. @param processors - in taskset's form; empty means all */
async function fetchTimed(
  { longshores: [longshore] }: Pick<Corpus, 'longshores'>,
  images: readonly string[],
  processors = '',
): Promise<Measured> {
  if (!longshore) throw new Error('there is no longshore to measure');
  await longshore.emptyStore();
  const args = await longshore.fetchArgs(images, ['--progress=none', '--jobs-per-host=8']);
  const launcher = processors === '' ? [] : ['taskset', '--cpu-list', processors];
  return measureThreads({ bin: longshore.bin, args, launcher });
}

/** Splits costs into start-up, cost for each image and cost for each byte. */
function costsOf(first: Summary, small: Summary, large: Summary): Costs {
  const mainMs = ({ facts }: Summary): number => facts[mainThread] ?? NaN;
  const threadsMs = (row: Summary): number => row.cpuMs - mainMs(row);
  const anImage = (of: typeof mainMs): number => (of(small) - of(first)) / (many.work.images - 1);
  const bytes = (of: typeof mainMs): number => of(large) - of(first) - (batch.work.images - 1) * anImage(of);
  return {
    startMs: first.wallMs,
    startCpuMs: first.cpuMs,
    mainMsAnImage: anImage(mainMs),
    mainMsAMiB: bytes(mainMs) / batch.work.packedMiB,
    threadsMsAnImage: anImage(threadsMs),
    threadsMsAMiB: bytes(threadsMs) / batch.work.tarMiB,
  };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
