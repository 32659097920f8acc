/**
 * Runs many batches on one data directory, and meanwhile aborts them, has callbacks throw, ends threads, and closes what they work
 * with. Prints a SoakReport as JSON. Usage: soak-child.ts JSON, of SoakOptions.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Worker } from 'node:worker_threads';

import {
  type BatchEvent,
  createFinder,
  type Finder,
  isImageError,
  openPool,
  openStore,
  type Outcome,
  type Pool,
  type Store,
} from '../../src/index.ts';

export type SoakOptions = {
  readonly dir: string;
  readonly batches: number;
  readonly seed: number;
  /** What can be fetched, and what cannot or comes too late for anybody. */
  readonly good: readonly string[];
  readonly bad: readonly string[];
};

/** `files` are what the open descriptors are. */
export type Usage = { readonly heap: number; readonly files: readonly string[]; readonly threads: number };

export type SoakReport = {
  readonly counts: Readonly<Record<string, number>>;
  /** With everything closed: after the first batches, and after the last. */
  readonly before: Usage;
  readonly after: Usage;
  /** The longest time from what ends a batch, or from a close, to the end, while the threads of this process could run. */
  readonly longest: { readonly ms: number; readonly what: string };
  /** What must not happen. */
  readonly faults: readonly string[];
};

const { dir, batches, seed, good, bad } = JSON.parse(process.argv[2] ?? '') as SoakOptions; // as the test gives it

/** After so many, all that is made once has been made. */
const firstBatches = 100;

const faults: string[] = [];
const counts: Record<string, number> = {};
const count = (what: string): void => void (counts[what] = (counts[what] ?? 0) + 1);
process.on('unhandledRejection', (reason) => faults.push(`unhandled rejection: ${String(reason)}`));
process.on('uncaughtException', (error) => faults.push(`uncaught exception: ${String(error)}`));
process.on('warning', ({ message }) => faults.push(`warning: ${message}`));

const threads = new Set<Worker>();
process.on('worker', (worker) => {
  threads.add(worker);
  worker.once('exit', () => threads.delete(worker));
});

/** Mulberry32: the same seed makes the same choices. */
let state = seed;
function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}
const below = (most: number): number => Math.floor(random() * most);
const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T; // of lists that are not empty
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** How long each thread of this process was ready to run so far, and had no processor, in ms; none where the system does not tell. */
function readWaits(): ReadonlyMap<string, number> {
  const waits = new Map<string, number>();
  for (const thread of existsSync('/proc/self/task') ? readdirSync('/proc/self/task') : []) {
    try {
      const [, waitedNs = ''] = readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8').split(' ');
      waits.set(thread, Number(waitedNs) / 1e6);
    } catch {
      // it has ended meanwhile
    }
  }
  return waits;
}

/**
 * A clock of what this process takes by itself, in ms. It stands still while the event loop does, and while threads wait for a
 * processor. Who only sleeps waits for none: what hangs is timed nearly in full, since the clock itself rarely has to run.
 */
const tickMs = 250;
let clock = 0;
let waits = readWaits();
let readAt = performance.now();
function readClock(): number {
  const known = waits;
  const from = readAt;
  waits = readWaits();
  readAt = performance.now();
  let ms = readAt - from;
  for (const [thread, waited] of waits) ms -= waited - (known.get(thread) ?? 0);
  return (clock += Math.min(tickMs, Math.max(0, ms)));
}
setInterval(readClock, tickMs).unref();
let longest = { ms: 0, what: '' };
const note = (what: string, from: number): void => {
  const ms = Math.round(readClock() - from);
  if (ms > longest.ms) longest = { ms, what };
};

async function timed(what: string, ending: Promise<void>): Promise<void> {
  const from = readClock();
  await ending;
  note(what, from);
}

type Opened = { readonly store: Store; readonly pool: Pool | undefined; readonly finder: Finder };
let sink: (event: BatchEvent) => unknown = () => undefined;

async function openAll(): Promise<Opened> {
  const store = await openStore({ dir });
  const pool = random() < 0.7 ? openPool({ workers: 2, jobs: 8 }) : undefined;
  const options = { store, pool, workers: 1, jobs: 8, retries: below(2), insecure: { image: true } };
  return {
    store,
    pool,
    finder: createFinder({ ...options, noStore: random() < 0.5, onEvent: (event) => sink(event) }),
  };
}

async function closeAll({ store, pool, finder }: Opened): Promise<void> {
  await timed('finder.close', finder.close());
  if (pool) await timed('pool.close', pool.close());
  await timed('store.close', store.close());
}

const mishaps = [
  ...(['nothing', 'onEvent throws', 'onEvent rejects', 'onOutcome throws', 'onOutcome rejects'] as const),
  ...(['a thread dies', 'threads die', 'the index thread dies'] as const),
  ...(['the finder closes', 'the store closes', 'the pool closes'] as const),
];
type Mishap = (typeof mishaps)[number];

const expected = ['CANCELLED', 'CLOSED', 'DEPENDENCY_FAILED', 'HTTP_STATUS', 'REFERENCE_INVALID'];

function check({ status, error }: Outcome, mishap: Mishap): void {
  count(status);
  const isExpected = !error || expected.includes(error.code) || (error.code === 'INTERNAL' && / dies?$/.test(mishap));
  if (!isExpected) faults.push(`${mishap}: ${error.code}: ${error.message}`);
}

type Running = { readonly stop: AbortController; readonly ended: Promise<void>; since: number | undefined };

function startBatch(finder: Finder, mishap: Mishap, thrown: Error): Running {
  const images = Array.from({ length: 1 + below(10) }, () => pick(random() < 0.8 ? good : bad));
  const stop = new AbortController();
  const fails = mishap.startsWith('onOutcome') && random() < 0.5;
  const onOutcome = (): unknown => (fails ? misbehave(mishap, thrown) : undefined);
  const told = (result: { readonly outcomes: readonly Outcome[] }): void => {
    if (result.outcomes.length !== images.length) faults.push(`${result.outcomes.length} outcomes of ${images.length}`);
    for (const outcome of result.outcomes) check(outcome, mishap);
  };
  const rejected = (error: unknown): void => {
    if (error === thrown) count('rejected by a callback');
    else if (isImageError(error) && error.code === 'CLOSED') count('rejected since it was closed');
    else faults.push(`${mishap}: findImages rejects: ${String(error)}`);
  };
  const running: Running = {
    stop,
    since: undefined,
    ended: finder
      .findImages(images, { signal: stop.signal, onOutcome })
      .then(told, rejected)
      .then(() => {
        if (running.since !== undefined) note(`after: ${mishap}`, running.since);
      }),
  };
  return running;
}

function misbehave(mishap: Mishap, thrown: Error): unknown {
  if (mishap.endsWith('rejects')) return Promise.reject(thrown);
  throw thrown;
}

/** @returns whether all batches should end now. */
function bringAbout(mishap: Mishap, { store, pool, finder }: Opened, closing: Promise<void>[]): boolean {
  const index = [...threads].filter(({ threadName }) => threadName === 'index');
  const others = [...threads].filter((thread) => !index.includes(thread));
  const end = (some: readonly Worker[]): false => {
    for (const worker of some) void worker.terminate();
    return false;
  };
  const close = (ending: Promise<void>): true => {
    closing.push(timed(mishap, ending));
    return true;
  };
  switch (mishap) {
    case 'a thread dies':
      return end(others.slice(0, 1));
    case 'threads die':
      return end(others);
    case 'the index thread dies':
      return end(index);
    case 'the finder closes':
      return close(finder.close());
    case 'the store closes':
      return close(store.close());
    case 'the pool closes':
      return pool ? close(pool.close()) : false;
    default:
      return false;
  }
}

async function runRound(opened: Opened): Promise<{ readonly batches: number; readonly mustReopen: boolean }> {
  const mishap = pick(mishaps);
  count(mishap);
  const thrown = new Error(mishap);
  let events = mishap.startsWith('onEvent') ? 1 + below(30) : 0;
  sink = () => (events > 0 && (events -= 1) === 0 ? misbehave(mishap, thrown) : undefined);

  const all = Array.from({ length: 1 + below(3) }, () => startBatch(opened.finder, mishap, thrown));
  await sleep(below(120));
  const closing: Promise<void>[] = [];
  const endsAll = bringAbout(mishap, opened, closing);
  for (const running of all) if (endsAll) running.since = readClock();
  await sleep(below(100));
  for (const running of endsAll ? [] : all) {
    running.since = readClock();
    running.stop.abort(new Error('enough'));
  }
  await Promise.all([...all.map(({ ended }) => ended), ...closing]);
  const isFinderUsable = !endsAll && mishap !== 'the index thread dies';
  return { batches: all.length, mustReopen: !isFinderUsable || random() < 0.1 };
}

setFlagsFromString('--expose_gc');
const collectGarbage = runInNewContext('gc') as () => void; // there since the line before

function openFiles(): readonly string[] {
  return readdirSync('/proc/self/fd').map((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`);
    } catch {
      return 'the directory that was read'; // it is closed by now
    }
  });
}

/** With everything closed; what the system still closes is waited for. */
async function measure(known?: Usage): Promise<Usage> {
  for (let time = 0; ; time += 1) {
    collectGarbage();
    await sleep(100);
    const files = openFiles();
    const usage = { heap: process.memoryUsage().heapUsed, files, threads: readdirSync('/proc/self/task').length };
    const isDone = known && usage.files.length <= known.files.length && usage.threads <= known.threads;
    if (isDone || time === (known ? 100 : 10)) return usage;
  }
}

async function run(most: number): Promise<void> {
  let opened = await openAll();
  for (let done = 0; done < most;) {
    const round = await runRound(opened);
    done += round.batches;
    if (!round.mustReopen) continue;
    await closeAll(opened);
    opened = await openAll();
  }
  await closeAll(opened);
}

await run(firstBatches);
const before = await measure();
await run(batches - firstBatches);
const after = await measure(before);

// what was left is sound, and nothing holds a claim
{
  sink = () => undefined;
  await using store = await openStore({ dir });
  await using finder = createFinder({ store, workers: 1, insecure: { image: true } });
  const { outcomes } = await finder.findImages(good);
  for (const { status, error } of outcomes) if (error) faults.push(`afterwards: ${status}: ${error.message}`);
  const { damaged } = await store.verify();
  if (damaged.length > 0) faults.push(`damaged: ${JSON.stringify(damaged)}`);
}
process.stdout.write(`${JSON.stringify({ counts, before, after, longest, faults } satisfies SoakReport)}\n`);
process.exit(0);
