import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { ExecutionContext } from 'ava';
import { Redis } from 'ioredis';

import type { Batch } from '../../src/fleet/batch.ts';
import type { ImageReport } from '../../src/fleet/bring.ts';
import { runsKey } from '../../src/fleet/ledger.ts';
import type { WorkLedger } from '../../src/fleet/work-on-batch.ts';
import type { FleetChildOptions, FleetLine } from './fleet-child.ts';
import { startRedis, type TestRedis } from './redis.ts';
import { startRegistry, type TestRegistry } from './registry.ts';
import { temporaryDirectory } from './stored.ts';
import { until } from './until.ts';

/** Not of a copy. */
const isOwn = (field: string): boolean => !field.includes('/');

/** Batches and results that nobody has signed. */
export function plainLedger(redis: Redis, worker: string): WorkLedger {
  const results = ({ id }: Batch): string => `results:${id}`;
  return {
    names: () => redis.hkeys('batches'),
    async batch(name) {
      const text = await redis.hget('batches', name);
      return text === null ? undefined : (JSON.parse(text) as Batch);
    },
    isCancelled: async ({ id }) => (await redis.exists(`cancelled:${id}`)) === 1,
    isThere: async ({ name }) => (await redis.hexists('batches', name)) === 1,
    async begin(batch, index, run) {
      await redis.hset(runsKey(batch.id), String(index), run);
      return (await redis.hexists(results(batch), String(index))) === 0;
    },
    reported: async (batch) => new Set((await redis.hkeys(results(batch))).filter(isOwn).map(Number)),
    countReported: async (batch) => (await redis.hkeys(results(batch))).filter(isOwn).length,
    async report(batch, report) {
      await redis.rpush(`reports:${batch.id}`, `${report.index} ${worker}`);
      await redis.hsetnx(results(batch), String(report.index), JSON.stringify({ ...report, worker }));
    },
    async uncopied(batch) {
      const all = await redis.hgetall(results(batch));
      return Object.entries(all).flatMap(([field, text]) => {
        const { index, worker: by, outcome, locked } = JSON.parse(text) as TestResult;
        const isMissing = field === String(index) && by !== worker && !outcome.error && !(`${index}/${worker}` in all);
        return isMissing ? [{ index, locked, workers: [by] }] : [];
      });
    },
    async reportCopy(batch, report) {
      await redis.hsetnx(results(batch), `${report.index}/${worker}`, JSON.stringify({ ...report, worker }));
    },
    async isEverywhere(batch) {
      const all = Object.keys(await redis.hgetall(results(batch)));
      const names = Object.keys(await redis.hgetall('workers'));
      return all.length >= names.length * batch.images.length;
    },
    complete: () => Promise.resolve(),
    forget: () => undefined,
    news: async (signal) => void (await sleep(300, undefined, { signal }).catch(() => undefined)),
  };
}

type TestResult = Omit<ImageReport, 'outcome'> & {
  readonly worker: string;
  readonly outcome: { readonly status: string; readonly error?: { readonly code: string; readonly message: string } };
};

type TestFleet = {
  readonly redis: Redis;
  submit(images: readonly string[], batch?: Partial<Batch>): Promise<Batch>;
  cancel(batch: Batch): Promise<void>;
  results(batch: Batch): Promise<readonly TestResult[]>;
  /** Resolves when each image has a result. */
  completed(batch: Batch): Promise<readonly TestResult[]>;
  start(options: Omit<FleetChildOptions, 'queue'>): TestWorker;
};

type TestWorker = {
  readonly child: ChildProcess;
  readonly lines: readonly FleetLine[];
  /** Called with each line that it prints. */
  onLine(listener: (line: FleetLine) => void): void;
  /** Resolves with the line that is wanted, also if it was printed before. */
  until<T extends FleetLine['type']>(
    type: T,
    wanted?: (line: FleetLine & { readonly type: T }) => boolean,
  ): Promise<void>;
  kill(signal?: NodeJS.Signals): Promise<number | null>;
  readonly ended: Promise<number | null>;
};

const script = fileURLToPath(new URL('fleet-child.ts', import.meta.url));

/** A fleet that meets at a Redis: it submits batches, and starts workers that end with the test. */
function openFleet(t: ExecutionContext, { url }: Pick<TestRedis, 'url'>): TestFleet {
  const redis = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: () => 100 });
  redis.on('error', () => undefined);
  t.teardown(() => redis.disconnect());
  const results = async ({ id }: Batch): Promise<readonly TestResult[]> => {
    const texts = Object.values(await redis.hgetall(`results:${id}`));
    return texts.map((text) => JSON.parse(text) as TestResult).toSorted((a, b) => a.index - b.index);
  };
  return {
    redis,
    async submit(images, more = {}) {
      const batch = batchOf(images, more);
      await redis.hset('batches', batch.name, JSON.stringify(batch));
      return batch;
    },
    cancel: async ({ id }) => void (await redis.set(`cancelled:${id}`, '1')),
    results,
    async completed(batch) {
      await until(async () => (await redis.hkeys(`results:${batch.id}`)).filter(isOwn).length >= batch.images.length);
      return results(batch);
    },
    start: (options) => startWorker(t, { ...options, queue: url }),
  };
}

function batchOf(images: readonly string[], more: Partial<Batch>): Batch {
  const now = Date.now();
  return {
    ...{ id: randomBytes(16).toString('hex'), name: 'batch', createdAtMs: now, expiresAtMs: now + 3_600_000 },
    ...{ use: 'shard', scoped: false, noOverwrite: false, withDeps: true, platform: [], referrers: false },
    ...{ perHost: 64, keepResultsMs: 3_600_000 },
    images: images.map((image) => ({ image, type: image.startsWith('docker:') ? 'docker' : 'url' })),
    ...more,
  };
}

function startWorker(t: ExecutionContext, options: FleetChildOptions): TestWorker {
  const child = spawn(process.execPath, [script, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: FleetLine[] = [];
  const listeners = new Set<(line: FleetLine) => void>();
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text) as FleetLine;
    lines.push(line);
    for (const listener of listeners) listener(line);
  });
  const ended = once(child, 'close').then(() => child.exitCode);
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> => {
    child.kill(signal);
    return ended;
  };
  t.teardown(() => kill());
  return {
    ...{ child, lines, kill, ended },
    onLine: (listener) => void listeners.add(listener),
    async until(type, wanted = () => true) {
      const isIt = (line: FleetLine): boolean =>
        line.type === type && wanted(line as FleetLine & { type: typeof type });
      if (lines.some(isIt)) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      listeners.add((line) => {
        if (isIt(line)) resolve();
      });
      await Promise.race([promise, ended.then((code) => Promise.reject(new Error(`the worker ended with ${code}`)))]);
    },
  };
}

/** A fleet, and a registry with images for it. */
export type FleetPlace = {
  readonly redis: TestRedis;
  readonly fleet: TestFleet;
  readonly registry: TestRegistry;
  readonly images: readonly string[];
  /** The data directory of a worker. */
  dir(name: string): string;
};

/** @returns undefined where there is no Redis */
export async function openFleetPlace(t: ExecutionContext, count: number): Promise<FleetPlace | undefined> {
  const redis = await startRedis(t);
  if (!redis) return undefined;
  const registry = await startRegistry(t);
  const directory = await temporaryDirectory(t);
  const images = Array.from({ length: count }, (_, index) => {
    registry.putImage(`app/${index}`, '1', { layers: [Buffer.alloc(2000, index)] });
    return `docker://${registry.host}/app/${index}:1`;
  });
  return { redis, registry, images, fleet: openFleet(t, redis), dir: (name) => join(directory, name) };
}
