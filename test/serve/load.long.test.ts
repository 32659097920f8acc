import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import test from 'ava';

import { openTestStore } from '../helpers/blob.ts';
import { compileCache } from '../helpers/built.ts';
import { digestOf, prepareRegistryImage, putRegistryImage } from '../helpers/registry-image.ts';
import { bin } from '../helpers/run-cli.ts';
import { ask } from '../helpers/serving.ts';
import { until } from '../helpers/until.ts';

const [idleConnections, slowReaders, fastClients] = [500, 200, 20];

test('slow readers and idle connections take little memory, and others are answered beside them', async (t) => {
  const store = await openTestStore(t);
  const layer = randomBytes(12 * 2 ** 20); // more than the system takes for a connection
  await putRegistryImage(store, { layer });
  const child = spawn(process.execPath, [bin, 'serve', '--listen=127.0.0.1:0', '--public', '--dir', store.dir], {
    env: { PATH: process.env['PATH'], HOME: store.dir, NODE_COMPILE_CACHE: compileCache },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => void child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const url = new URL(line.toString().trim());
  const path = `/v2/library/app/blobs/${digestOf(layer)}`;
  const open = async (asked: string): Promise<Socket> => {
    const socket = connect(Number(url.port), '127.0.0.1').on('error', () => undefined);
    t.teardown(() => void socket.destroy());
    socket.write(`GET ${asked} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    await once(socket, 'readable');
    return socket;
  };
  const group = (count: number, asked: string) => Promise.all(Array.from({ length: count }, () => open(asked)));
  const idle = await group(idleConnections, '/healthz');
  const slow = await group(slowReaders, path);
  const metric = async (name: string): Promise<number> => {
    const { text } = await ask(url.origin, '/metrics');
    return Number(new RegExp(`^longshore_serve_${name} (\\d+)$`, 'm').exec(text)?.[1]);
  };
  await until(async () => (await metric('connections')) > idleConnections + slowReaders);

  const all = await Promise.all(Array.from({ length: fastClients }, () => ask(url.origin, path)));
  t.true(all.every(({ bytes }) => bytes.equals(layer)));
  t.true([...idle, ...slow].every((socket) => !socket.destroyed));
  const mebibytes = (await metric('resident_memory_bytes')) / 2 ** 20;
  t.log(`${mebibytes.toFixed(0)} MiB`);
  t.true(mebibytes <= 200, `${mebibytes} MiB`);
});

test('of ten thousand tags each is found, page by page', async (t) => {
  const store = await openTestStore(t);
  const image = await prepareRegistryImage(store, {});
  const tags = Array.from({ length: 10_000 }, (_, index) => `v${String(index).padStart(5, '0')}`);
  await Promise.all(tags.map((tag) => store.commitRegistryImage({ ...image, reference: `quay.io/app:${tag}` })));
  const child = spawn(process.execPath, [bin, 'serve', '--listen=127.0.0.1:0', '--public', '--dir', store.dir], {
    env: { PATH: process.env['PATH'], HOME: store.dir, NODE_COMPILE_CACHE: compileCache },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => void child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const found: string[] = [];
  for (let next: string | undefined = '/v2/app/tags/list?n=100000'; next !== undefined;) {
    const { text, headers } = await ask(line.toString().trim(), next);
    found.push(...(JSON.parse(text) as { tags: string[] }).tags);
    next = /^<(.*)>; rel="next"$/.exec(String(headers['link']))?.[1];
  }
  t.deepEqual(found, tags);
});
