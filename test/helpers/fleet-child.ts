/** A worker of a fleet, as a process. Usage: fleet-child.ts JSON, of FleetChildOptions. Prints a FleetLine as JSON for what happens. */
import { Redis } from 'ioredis';

import { parseQueueAddress } from '../../src/fleet/redis.ts';
import { work } from '../../src/fleet/work.ts';
import { createFinder, createPusher, openFetchPool, openStore } from '../../src/internal.ts';
import { plainLedger } from './fleet.ts';

export type FleetChildOptions = {
  readonly queue: string;
  readonly dir: string;
  readonly name: string;
  readonly only?: string;
  readonly allowedTargets?: readonly string[];
  readonly jobsPerHost?: number;
  readonly images?: number;
  readonly lockMs?: number;
  readonly retryMs?: number;
  readonly reconcileMs?: number;
  readonly retries?: number;
};

/** `begin`: work on the image of a reference begins. */
export type FleetLine =
  | { readonly type: 'ready' | 'ended' }
  | { readonly type: 'begin'; readonly reference: string }
  | { readonly type: 'warning'; readonly message: string }
  | { readonly type: 'usage'; readonly rss: number; readonly cpuMs: number };

const options = JSON.parse(process.argv[2] ?? '') as FleetChildOptions; // as the test gives it
const { queue, dir, name, only, jobsPerHost = 4, images = 16, lockMs = 2000, retryMs = 200, retries = 1 } = options;

const say = (line: FleetLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
const nowMs = (): number => Date.now();

const redis = new Redis(queue, { maxRetriesPerRequest: null, retryStrategy: () => 200 });
redis.on('error', () => undefined); // it may be away
await using store = await openStore({ dir });
await using pool = openFetchPool({ workers: 1, apps: [] });
const settings = {
  store,
  pool,
  keep: 'oci',
  platform: ['linux/amd64'],
  insecure: { image: true, http: true },
} as const;
await redis.hset('workers', name, '1');
say({ type: 'ready' });
await work(
  {
    ...{
      redis,
      address: parseQueueAddress(queue, 'queue', true),
      nowMs,
      only,
      allowedTargets: options.allowedTargets ?? [],
      workerRun: `${name}-${process.pid}`,
    },
    ledger: plainLedger(redis, name),
    concurrency: { images, perHost: jobsPerHost + 1 },
    timing: { lockMs, checkMs: lockMs / 2, retryMs, laterMs: 200 },
    reconcileMs: options.reconcileMs,
    onWarning: (message) => say({ type: 'warning', message }),
    openTools: (batch, onEvent) => {
      const finder = createFinder({
        ...{ ...settings, jobsPerHost, retries },
        onEvent: (event) => {
          if (event.type === 'node-started') say({ type: 'begin', reference: event.reference });
          onEvent(event);
        },
      });
      const stored = createFinder({ ...settings, storeOnly: true });
      const pusher = createPusher({ ...settings, retries });
      return Promise.resolve({
        findImages: (apps, call) => finder.findImages(apps, call),
        findStored: (apps, call) => stored.findImages(apps, call),
        async pushImage(image, signal) {
          const { scoped, noOverwrite, to = '' } = batch;
          const { outcomes } = await pusher.pushImages([image], { to, scoped, noOverwrite, signal });
          if (!outcomes[0]) throw new Error('no outcome');
          return outcomes[0];
        },
        async [Symbol.asyncDispose]() {
          await Promise.all([finder.close(), stored.close(), pusher.close()]);
        },
      });
    },
  },
  stop.signal,
);
const { user, system } = process.cpuUsage();
say({ type: 'usage', rss: process.resourceUsage().maxRSS * 1024, cpuMs: (user + system) / 1000 });
say({ type: 'ended' });
redis.disconnect();
