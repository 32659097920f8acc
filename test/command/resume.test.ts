import { randomBytes } from 'node:crypto';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import type { Route } from '../helpers/serve-route.ts';
import { startServer } from '../helpers/server.ts';
import { openShell } from '../helpers/shell.ts';
import { untilDownloaded } from '../helpers/until.ts';

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
