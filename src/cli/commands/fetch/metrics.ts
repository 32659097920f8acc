import { basename } from 'node:path';

import { Counter, Gauge, Histogram, Registry } from 'prom-client';

import type { BatchEvent, EventSink, ImageError } from '../../../internal.ts';
import { readVersion } from '../../version.ts';
import { writeOutput } from '../output-files.ts';

type Traffic = Extract<BatchEvent, { readonly type: 'traffic' }>;

export type RunMetrics = {
  readonly onEvent: EventSink;
  /** Writes the file. */
  end(): Promise<void>;
};

type MetricsFile = {
  readonly path: string;
  readonly command: keyof typeof statuses;
  /** Once it is aborted, the file is written at once, and again at the end. */
  readonly signal: AbortSignal;
};

/** The statuses of each command: those that no image has are in the file, too. */
const statuses = {
  fetch: ['fetched', 'present', 'failed', 'cancelled'],
  import: ['fetched', 'present', 'failed', 'cancelled'],
  push: ['pushed', 'present', 'planned', 'skipped', 'failed', 'cancelled'],
} as const;

/** Seconds: from small images in a local network to large ones from far away. */
const durationBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600];

/**
 * Counts what a run does, and writes it as a file for the textfile collector of node-exporter. What it keeps does not grow with the
 * number of images, and the hosts that it is told of are bounded.
 *
 * @param onFailure - called when the file could not be written at the end.
 * @see docs/metrics.md
 */
export function createRunMetrics(
  { path, command, signal }: MetricsFile,
  onFailure: (error: ImageError) => void,
): RunMetrics {
  const registry = new Registry();
  // the collector refuses to read two files with the same metric, unless a label tells them apart
  registry.setDefaultLabels({ command, run: basename(path).replace(/\.prom$/, '') });
  const run = createMeasures(registry);
  for (const status of statuses[command]) run.images.inc({ status }, 0);

  const write = async (): Promise<ImageError | undefined> => {
    run.written.setToCurrentTime();
    return writeOutput({ path, what: 'the metrics', mode: 0o644 }, [await registry.metrics()]);
  };
  let interim: Promise<unknown> | undefined;
  const onAbort = (): void => void (interim = write()); // the process may be ended before the run ends
  signal.addEventListener('abort', onAbort, { once: true });

  return {
    onEvent: (event) => run.take(event),
    async end() {
      signal.removeEventListener('abort', onAbort);
      await interim;
      const failure = await write();
      if (failure) onFailure(failure);
    },
  };
}

function createMeasures(registry: Registry) {
  const named = (name: string, help: string) => ({ name: `longshore_${name}`, help, registers: [registry] });
  const gauge = (name: string, help: string) => new Gauge(named(name, help));
  const byHost = (name: string, help: string) => ({ ...named(name, help), labelNames: ['host'] as const });
  const hostGauge = (name: string, help: string) => new Gauge(byHost(name, help));
  const hostCounter = (name: string, help: string) => new Counter(byHost(name, help));

  const info = new Gauge({ ...named('info', 'The version of longshore; always 1.'), labelNames: ['version'] as const });
  info.set({ version: readVersion() }, 1);
  const complete = gauge('run_complete', '1 if every image has been tried, 0 if the run ended before that.');
  gauge('run_start_timestamp_seconds', 'When the run began.').setToCurrentTime();
  const written = gauge('run_end_timestamp_seconds', 'When the run ended, or was interrupted.');
  const duration = gauge('batch_duration_seconds', 'From the start of the batch to its end; 0 if it has not ended.');
  const images = new Counter({
    ...named('images_total', 'Images by how they ended.'),
    labelNames: ['status'] as const,
  });
  const durations = new Histogram({
    ...named('image_duration_seconds', 'From the start of an image to its end, with all that it waits for.'),
    labelNames: ['status'] as const,
    buckets: durationBuckets,
  });
  const hosts = {
    requests: hostCounter(
      'requests_total',
      'HTTP requests, answered or not; those for tokens and after redirects included.',
    ),
    bytesReceived: hostCounter('received_bytes_total', 'Bytes of the bodies of answers.'),
    bytesSent: hostCounter('sent_bytes_total', 'Bytes of the bodies of requests.'),
    retries: hostCounter('retries_total', 'HTTP requests that were repeated.'),
    refusals: hostCounter('refusals_total', 'Answers with the status 429 or 503.'),
  };
  const concurrency = hostGauge('concurrent_requests_max', 'The most HTTP requests at a time.');
  const quota = {
    limit: hostGauge('quota_limit', 'Requests that the host allows, as it said last.'),
    remaining: hostGauge('quota_remaining', 'Requests that were left of these.'),
    windowSeconds: hostGauge('quota_window_seconds', 'The time that the limit is for.'),
  };

  const end = (status: string, durationMs: number | undefined): void => {
    images.inc({ status });
    if (durationMs !== undefined) durations.observe({ status }, durationMs / 1000);
  };
  const addHost = ({ host, ...counts }: Traffic['hosts'][number]): void => {
    for (const name of keysOf(hosts)) hosts[name].inc({ host }, counts[name]);
    concurrency.set({ host }, counts.concurrency);
    for (const name of keysOf(quota)) {
      const value = counts.quota?.[name];
      if (value !== undefined) quota[name].set({ host }, value);
    }
  };

  const take = (event: BatchEvent): void => {
    switch (event.type) {
      case 'node-finished':
      case 'image-pushed':
        return end(event.outcome.status, event.outcome.durationMs);
      case 'traffic':
        return event.hosts.forEach(addHost);
      case 'batch-finished':
      case 'push-finished':
        complete.set(event.totals.cancelled === 0 ? 1 : 0);
        return duration.set(event.totals.durationMs / 1000);
      default:
        return;
    }
  };
  return { take, images, written };
}

function keysOf<T extends object>(object: T): readonly (keyof T)[] {
  return Object.keys(object) as (keyof T)[]; // the objects above have no other members
}
