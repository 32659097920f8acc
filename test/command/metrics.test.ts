import { lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { preload, withoutGrace } from '../helpers/preload.ts';
import { readPrometheus } from '../helpers/prometheus.ts';
import { startPushTarget } from '../helpers/push-target.ts';
import { startRegistry } from '../helpers/registry.ts';
import type { Route } from '../helpers/serve-route.ts';
import { startServer } from '../helpers/server.ts';
import { openShell } from '../helpers/shell.ts';
import { until } from '../helpers/until.ts';

const environment = { LONGSHORE_INSECURE_OPTIONS: 'image,http', LONGSHORE_PROGRESS: 'none' };

async function opened(t: ExecutionContext, nodeOptions = '') {
  const shell = await openShell(t, nodeOptions);
  const at = (path: string): string => join(shell.directory, path);
  return {
    ...{ at, directory: shell.directory },
    run: (line: string) => shell.run(`umask 077; longshore ${line}`, environment),
    start: (line: string) => shell.start(`exec longshore ${line}`, environment),
    read: async (path = 'run.prom') => readPrometheus(await readFile(at(path), 'utf8')),
  };
}

/** Answers 429 first, and then the body with a quota. */
function refusingOnce(body: Uint8Array): Route {
  let isAsked = false;
  return {
    handler(_, response) {
      if (isAsked) {
        const quota = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' };
        response.writeHead(200, { 'content-length': body.byteLength, ...quota }).end(body);
      } else response.writeHead(429, { 'retry-after': '0' }).end();
      isAsked = true;
    },
  };
}

test('a fetch that fails in part tells by host what was exchanged, a refusal and the quota included', async (t) => {
  const { run, read, at, directory } = await opened(t);
  const { bytes } = await buildAci({ name: 'example.com/app' });
  const one = await startServer(t, { '/a.aci': refusingOnce(bytes) });
  const other = await startServer(t, { '/b.aci': { body: (await buildAci({ name: 'example.com/b' })).bytes } });
  await writeFile(at('run.prom'), 'older', { mode: 0o600 });
  const { code, stderr } = await run(
    `fetch ${one.url}/a.aci ${other.url}/b.aci ${other.url}/missing.aci --metrics run.prom`,
  );
  t.is(code, 4, stderr);
  t.is((await stat(at('run.prom'))).mode & 0o777, 0o644);
  const { value, types } = await read();
  const [host, second] = [`127.0.0.1:${one.port}`, `127.0.0.1:${other.port}`];
  t.is(value('longshore_requests_total', { host }), one.requests.length);
  t.is(value('longshore_requests_total', { host: second }), other.requests.length);
  t.is(value('longshore_received_bytes_total', { host }), bytes.byteLength);
  t.is(value('longshore_refusals_total', { host }), 1);
  t.is(value('longshore_retries_total', { host }), 1);
  t.is(value('longshore_refusals_total', { host: second }), 0);
  t.is(value('longshore_quota_limit', { host }), 100);
  t.is(value('longshore_quota_remaining', { host }), 76);
  t.is(value('longshore_quota_limit', { host: second }), undefined);
  t.is(value('longshore_concurrent_requests_max', { host }), 1);
  t.is(value('longshore_images_total', { status: 'fetched' }), 2);
  t.is(value('longshore_images_total', { status: 'failed' }), 1);
  t.is(value('longshore_image_duration_seconds_count', { status: 'fetched' }), 2);
  t.is(value('longshore_run_complete'), 1);
  t.true((value('longshore_batch_duration_seconds') ?? 0) > 0);
  const times = ['start', 'end'].map((name) => value(`longshore_run_${name}_timestamp_seconds`) ?? 0);
  t.true((times[0] ?? 0) < (times[1] ?? 0) && (times[1] ?? 0) <= Date.now() / 1000);
  for (const [name, type] of types) t.is(type === 'counter', name.endsWith('_total'), name);
  t.deepEqual(
    (await readdir(directory)).filter((name) => name.startsWith('.longshore') || name.endsWith('.prom')),
    ['run.prom'],
  );
});

test('a push tells what was sent, and the refusal of its target', async (t) => {
  const { run, read } = await opened(t);
  let isAsked = false;
  const target = await startPushTarget(t, {
    intercept({ method, response }) {
      if (isAsked || method !== 'POST') return false;
      isAsked = true;
      response.writeHead(429, { 'retry-after': '0', 'content-length': '0' }).end();
      return true;
    },
  });
  const registry = await startRegistry(t);
  registry.putImage('team/app', '1', { layers: ['x'.repeat(50_000)] });
  const fetched = await run(`fetch --platform linux/amd64 docker://${registry.host}/team/app:1 --metrics fetch.prom`);
  t.is(fetched.code, 0, fetched.stderr);
  const { code, stdout, stderr } = await run(
    `push --all --to docker://${target.host} --metrics push.prom --output=json`,
  );
  t.is(code, 0, stderr);
  const { totals } = JSON.parse(stdout) as { totals: { bytesUploaded: number; requests: number } };
  const { value, all } = await read('push.prom');
  const { host } = target;
  t.is(value('longshore_requests_total', { host }), target.requests.length + 1, 'https was tried first');
  t.is(value('longshore_requests_total', { host }), totals.requests);
  t.true((value('longshore_sent_bytes_total', { host }) ?? 0) > totals.bytesUploaded, 'manifests are sent too');
  t.is(value('longshore_refusals_total', { host }), 1);
  t.is(value('longshore_retries_total', { host }), 1);
  t.is(value('longshore_images_total', { status: 'pushed' }), 1);
  t.is(value('longshore_run_complete'), 1);
  t.like(all('longshore_run_complete')[0]?.[0], { command: 'push', run: 'push' });
  t.is((await read('fetch.prom')).value('longshore_sent_bytes_total', { host: registry.host }), 0);
});

test('a symbolic link is followed, also to a file that is not there yet; where that cannot be written is what counts', async (t) => {
  const { run, at } = await opened(t);
  await mkdir(at('data'));
  await symlink('data/run.prom', at('link.prom'));
  await symlink('link.prom', at('second.prom'));
  for (let time = 0; time < 2; time += 1) {
    t.is((await run('fetch -f /dev/null --metrics second.prom')).code, 0);
    t.true((await lstat(at('link.prom'))).isSymbolicLink());
    t.regex(await readFile(at('data/run.prom'), 'utf8'), /^longshore_run_complete/m);
  }
  await symlink('none/run.prom', at('lost.prom'));
  const { code, stderr } = await run('fetch -f /dev/null --metrics lost.prom');
  t.is(code, 2);
  t.regex(stderr, /--metrics: cannot write "lost\.prom": ENOENT/);
});

test('a file that cannot be written, or is used otherwise, is refused before anything is asked or fetched', async (t) => {
  const { run, at, directory } = await opened(t);
  const server = await startServer(t, { '/a.aci': { body: (await buildAci({ name: 'example.com/a' })).bytes } });
  await mkdir(at('directory'));
  await writeFile(at('list'), `${server.url}/a.aci\n`);
  const before = await readdir(directory);
  for (const [line, message] of [
    ['--metrics -', /--metrics: want a file: metrics are written as a whole at the end/],
    ['--metrics none/run.prom', /--metrics: cannot write "none\/run\.prom": ENOENT/],
    ['--metrics directory', /--metrics: "directory" is a directory/],
    ['--metrics same --report same', /USAGE: --metrics: "same" is the file of --report too/],
    ['--metrics list', /USAGE: --metrics: "list" is a list of this run/],
    ['--metrics store/run.prom', /USAGE: --metrics: "store\/run\.prom" is in the store/],
    ['--metrics ""', /--metrics/],
  ] as const) {
    const { code, stdout, stderr } = await run(`fetch -f list ${line}`);
    t.deepEqual([code, stdout], [2, ''], line);
    t.regex(stderr, message);
  }
  for (const [line, message] of [
    ['--metrics none/run.prom', /--metrics: cannot write "none\/run\.prom": ENOENT/],
    ['--metrics same --events same', /USAGE: --metrics: "same" is the file of --events too/],
  ] as const) {
    const { code, stderr } = await run(`push --all --to docker://127.0.0.1:${server.port} ${line}`);
    t.is(code, 2, line);
    t.regex(stderr, message);
  }
  t.deepEqual(await readdir(directory), before);
  t.is(server.requests.length, 0);
});

test('metrics that can no longer be written are OUTPUT_FAILED, once the images are in the store', async (t) => {
  const { run, at } = await opened(t);
  await writeFile(at('a.aci'), (await buildAci({ name: 'example.com/a' })).bytes);
  const { code, stdout, stderr } = await run('fetch ./a.aci --metrics /dev/full');
  t.is(code, 8);
  t.regex(stdout, /^sha512-/);
  t.regex(stderr, /^error: OUTPUT_FAILED: the metrics \/dev\/full could not be written: .* \(ENOSPC\)\. /m);
});

test('a run that fails before its batch begins leaves the metrics of a run that is not complete', async (t) => {
  const { run, read, at } = await opened(t);
  await mkdir(at('store'));
  await writeFile(at('store/index.sqlite'), 'no database');
  t.is((await run('fetch ./a.aci --metrics run.prom')).code, 8);
  const { value } = await read();
  t.is(value('longshore_run_complete'), 0);
  t.is(value('longshore_images_total', { status: 'fetched' }), 0);
});

test('a fetch that is ended by SIGTERM leaves the metrics of the part so far', async (t) => {
  const { start, read, at } = await opened(t, preload(withoutGrace));
  const { bytes } = await buildAci({ name: 'example.com/a' });
  const server = await startServer(t, {
    '/a.aci': { body: bytes },
    '/slow.aci': { body: Buffer.alloc(1_000_000, 1), rate: 1000 },
  });
  const { child, result } = start(
    `fetch ${server.url}/a.aci ${server.url}/slow.aci --metrics run.prom --events events`,
  );
  await until(async () => (await readFile(at('events'), 'utf8').catch(() => '')).includes('"status":"fetched"'));
  child.kill('SIGTERM');
  t.is((await result).code, 143);
  const { value } = await read();
  t.is(value('longshore_run_complete'), 0);
  t.is(value('longshore_images_total', { status: 'fetched' }), 1);
  t.is(value('longshore_images_total', { status: 'cancelled' }), 1);
  t.is(value('longshore_requests_total', { host: `127.0.0.1:${server.port}` }), server.requests.length);
});

test('hosts beyond the first hundred are counted together', async (t) => {
  const { run, read, at } = await opened(t);
  const server = await startServer(t, {});
  const urls = Array.from({ length: 150 }, (_, index) => `http://h${index}.example:${server.port}/a.aci\n`);
  await writeFile(at('list'), urls.join(''));
  const { code, stderr } = await run(
    `fetch -f list --retries 0 --connect-to ::127.0.0.1:${server.port} --metrics run.prom`,
  );
  t.is(code, 4, stderr.slice(-500));
  const { all, value } = await read();
  const requests = all('longshore_requests_total');
  t.is(requests.length, 101);
  t.is(
    requests.reduce((sum, [, count]) => sum + count, 0),
    server.requests.length,
  );
  t.is(value('longshore_images_total', { status: 'failed' }), 150);
  t.true((value('longshore_requests_total', { host: 'other' }) ?? 0) >= 50);
});
