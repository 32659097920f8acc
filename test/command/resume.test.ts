import { randomBytes } from 'node:crypto';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { preload, withoutGrace } from '../helpers/preload.ts';
import type { Route } from '../helpers/serve-route.ts';
import { startServer } from '../helpers/server.ts';
import { openShell } from '../helpers/shell.ts';
import { until, untilDownloaded } from '../helpers/until.ts';

const lastModified = 'Tue, 01 Jul 2025 10:00:00 GMT';
const fetch = 'longshore fetch --insecure-options=image --progress=none --full';

/** longshore, killed when about half of an image had come from a server that takes ranges. */
async function killedAtHalf(t: ExecutionContext) {
  const { run, start, directory } = await openShell(t);
  const { bytes, imageId } = await buildAci({ name: 'example.com/app', files: { data: randomBytes(4_000_000) } });
  const headers = { 'accept-ranges': 'bytes', 'last-modified': lastModified, 'content-length': bytes.length };
  const handler: Route['handler'] = (_, response) => {
    response.writeHead(200, headers).write(bytes.subarray(0, bytes.length / 2));
  };
  const server = await startServer(t, { '/app.aci': { handler } });
  const { child, result } = start(`exec ${fetch} ${server.url}/app.aci`);
  await untilDownloaded(join(directory, 'store'), bytes.length / 4);
  child.kill('SIGKILL');
  t.is((await result).signal, 'SIGKILL');
  return { server, bytes, imageId, again: () => run(`${fetch} ${server.url}/app.aci`) };
}

test.serial('after Ctrl-C a line tells how much is kept, and that the same command goes on, as it does', async (t) => {
  const { start, run, directory } = await openShell(t, preload(withoutGrace));
  const whole = await buildAci({ name: 'example.com/whole' });
  const { bytes, imageId } = await buildAci({ name: 'example.com/half', files: { data: randomBytes(4_000_000) } });
  const headers = { 'accept-ranges': 'bytes', 'last-modified': lastModified, 'content-length': bytes.length };
  const handler: Route['handler'] = (_, response) => {
    response.writeHead(200, headers).write(bytes.subarray(0, bytes.length / 2));
  };
  const server = await startServer(t, { '/whole.aci': { body: whole.bytes }, '/half.aci': { handler } });
  const line = `longshore fetch --insecure-options=image --full ${server.url}/whole.aci ${server.url}/half.aci`;
  const { child, result } = start(`exec ${line}`);
  let told = '';
  child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
  await until(() => told.includes('fetched '));
  await untilDownloaded(join(directory, 'store'), bytes.length / 2);
  child.kill('SIGINT');
  const { code, stderr } = await result;
  t.is(code, 130);
  const [last = '', summary = ''] = stderr.trimEnd().split('\n').toReversed();
  t.regex(summary, /^2 images: 1 fetched, 1 cancelled; /);
  const form =
    /^interrupted; the store keeps 1 image and ([\d.]+) MiB of 1 image not yet complete: the same command goes on from there$/;
  const [, mebibytes] = form.exec(last) ?? [];
  server.routes['/half.aci'] = { body: bytes, lastModified };
  const again = await run(line);
  t.is(again.stdout, `${whole.imageId}\n${imageId}\n`, again.stderr);
  const from = Number(
    /^bytes=(\d+)-$/.exec(server.requests.findLast(({ headers }) => headers.range)?.headers.range ?? '')?.[1],
  );
  t.true(Math.abs(from - Number(mebibytes) * 1024 * 1024) < 64 * 1024, `${from}: ${last}`);
});

test.serial('a run that is interrupted before anything has come says so, but not as JSON', async (t) => {
  const server = await startServer(t, { '/a.aci': { body: Buffer.alloc(1_000_000, 1), rate: 1000 } });
  const { start } = await openShell(t, preload(withoutGrace));
  for (const mode of ['plain', 'json', 'none']) {
    const asked = server.requests.length;
    const { child, result } = start(
      `exec longshore fetch --insecure-options=image --progress=${mode} ${server.url}/a.aci`,
    );
    await until(() => server.requests.length > asked);
    child.kill('SIGTERM');
    const { code, stderr } = await result;
    t.is(code, 143);
    const isTold = /^interrupted before anything had come: the same command begins again\n/m.test(stderr);
    t.is(isTold, mode === 'plain', stderr);
  }
});

test.serial('bytes downloaded before a kill are not downloaded again', async (t) => {
  const { server, bytes, imageId, again } = await killedAtHalf(t);
  server.routes['/app.aci'] = { body: bytes, lastModified };
  const { code, stdout, stderr } = await again();
  t.deepEqual([code, stdout], [0, `${imageId}\n`], stderr);
  const [, second, ...others] = server.requests;
  t.deepEqual([others, second?.headers['if-range']], [[], lastModified]);
  const from = Number(/^bytes=(\d+)-$/.exec(second?.headers.range ?? '')?.[1]);
  t.true(from >= bytes.length / 4 && from <= bytes.length / 2, `from ${from} of ${bytes.length}`);
});

test.serial(
  'if the server no longer supports ranges or sends no validator, everything is downloaded again',
  async (t) => {
    const { server, imageId, again, bytes } = await killedAtHalf(t);
    server.routes['/app.aci'] = { body: bytes, ranges: false };
    const { code, stdout, stderr } = await again();
    t.deepEqual([code, stdout], [0, `${imageId}\n`], stderr);
    t.is(server.requests.length, 2);
  },
);
