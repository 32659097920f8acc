import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { createRunMetrics } from '../../../../src/cli/commands/fetch/metrics.ts';
import type { BatchEvent, ImageError } from '../../../../src/internal.ts';
import { readPrometheus } from '../../../helpers/prometheus.ts';
import { temporaryDirectory } from '../../../helpers/stored.ts';
import { until } from '../../../helpers/until.ts';

type Traffic = Extract<BatchEvent, { readonly type: 'traffic' }>;

const nothing = { requests: 1, bytesReceived: 2, bytesSent: 3, retries: 0, refusals: 0, concurrency: 1, counted: 0 };

async function opened(t: ExecutionContext, name = 'nightly.prom') {
  const path = join(await temporaryDirectory(t), name);
  const stop = new AbortController();
  const failures: ImageError[] = [];
  const options = { path, command: 'fetch', signal: stop.signal } as const;
  const metrics = createRunMetrics(options, (error) => failures.push(error));
  return { path, stop, failures, metrics, read: async () => readPrometheus(await readFile(path, 'utf8')) };
}

const finished = (status: 'failed' | 'fetched', durationMs: number): BatchEvent =>
  ({ type: 'node-finished', key: 'k', outcome: { reference: 'a', status, durationMs } }) as unknown as BatchEvent;

test('names of hosts are outside data: whatever they are, each is one sample, which reads as it was', async (t) => {
  const { metrics, read } = await opened(t);
  const names = [
    'a.example:443',
    'quote"',
    'back\\slash',
    'line\nend',
    '}, x 1',
    '[::1]:5000',
    'ünïcode',
    '# TYPE',
    '',
  ];
  const hosts: Traffic['hosts'] = names.map((host, at) => ({ host, ...nothing, requests: at }));
  metrics.onEvent({ type: 'traffic', hosts });
  await metrics.end();
  const { all } = await read();
  t.deepEqual(
    all('longshore_requests_total').map(([{ host }, value]) => [host, value]),
    names.map((host, at) => [host, at]),
  );
});

test('what hosts did not tell is absent, and 0 is told', async (t) => {
  const { metrics, read } = await opened(t);
  const hosts: Traffic['hosts'] = [
    { host: 'a', ...nothing },
    { host: 'b', ...nothing, quota: { limit: 100, remaining: 0, windowSeconds: 21_600 } },
    { host: 'c', ...nothing, quota: { limit: 5 } },
  ];
  metrics.onEvent({ type: 'traffic', hosts });
  await metrics.end();
  const { all, value } = await read();
  t.deepEqual(
    all('longshore_quota_limit').map(([{ host }, limit]) => [host, limit]),
    [
      ['b', 100],
      ['c', 5],
    ],
  );
  t.deepEqual(
    all('longshore_quota_remaining').map(([{ host }, limit]) => [host, limit]),
    [['b', 0]],
  );
  t.is(value('longshore_quota_window_seconds', { host: 'b' }), 21_600);
  t.is(value('longshore_refusals_total', { host: 'a' }), 0);
});

test('a hundred thousand images make as many lines as one', async (t) => {
  const { metrics, read, path } = await opened(t);
  metrics.onEvent(finished('fetched', 100));
  await metrics.end();
  const lines = (await readFile(path, 'utf8')).split('\n').length;

  const many = await opened(t);
  for (let at = 0; at < 100_000; at += 1) many.metrics.onEvent(finished('fetched', at));
  await many.metrics.end();
  t.is((await readFile(many.path, 'utf8')).split('\n').length, lines);
  const { value } = await many.read();
  t.is(value('longshore_images_total', { status: 'fetched' }), 100_000);
  t.is(value('longshore_image_duration_seconds_count', { status: 'fetched' }), 100_000);
  t.is(value('longshore_image_duration_seconds_bucket', { status: 'fetched', le: '0.5' }), 501);
  t.is(value('longshore_image_duration_seconds_bucket', { status: 'fetched', le: '+Inf' }), 100_000);
  t.is((await read()).value('longshore_images_total', { status: 'failed' }), 0);
});

test('the file is written when the run is interrupted, and again at its end', async (t) => {
  const { metrics, stop, read, path, failures } = await opened(t);
  metrics.onEvent(finished('failed', 5));
  stop.abort();
  await until(async () => (await stat(path).catch(() => undefined)) !== undefined);
  const interim = await read();
  t.is(interim.value('longshore_images_total', { status: 'failed' }), 1);
  t.is(interim.value('longshore_run_complete'), 0);
  metrics.onEvent({ type: 'traffic', hosts: [{ host: 'a', ...nothing }] });
  await metrics.end();
  const last = await read();
  t.is(last.value('longshore_requests_total', { host: 'a' }), 1);
  t.is(last.value('longshore_run_complete'), 0);
  t.deepEqual(failures, []);
});

test('labels name the command and the file, so that a directory of files has no sample twice', async (t) => {
  for (const [name, run] of [
    ['nightly.prom', 'nightly'],
    ['a"b.prom.prom', 'a"b.prom'],
    ['metrics', 'metrics'],
  ] as const) {
    const { metrics, read } = await opened(t, name);
    metrics.onEvent({ type: 'traffic', hosts: [{ host: 'a', ...nothing }] });
    await metrics.end();
    const { all, types } = await read();
    for (const family of types.keys())
      for (const [labels] of all(family)) t.like(labels, { command: 'fetch', run }, family);
  }
});
