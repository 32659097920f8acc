import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { startRegistry } from '../../test/helpers/registry.ts';
import { type Longshore, openLongshores } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { measure, type Measured, peakOf } from '../measure.ts';
import { type Row, takeTurns } from '../take-turns.ts';

type Server = AsyncDisposable & { readonly pid: number; readonly urlOf: (blob: Blob) => string };
type Blob = { readonly path: string; readonly digest: string };

/**
 * Four large blobs of a store by four curls at once, from nginx and from `longshore serve`; then fifty clients that take smaller ones, alone
 * and beside a thousand connections that ask for nothing and five hundred that read slowly.
 */
export async function serve({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const [largeBytes, smallBytes] = small ? [2_000_000, 100_000] : [200_000_000, 8_000_000];
  const longshores = await openLongshores(directory);
  const sizes = [...Array<number>(4).fill(largeBytes), smallBytes];
  const blobs = await fillStores(
    longshores,
    sizes.map((bytes) => [randomBytes(bytes)]),
  );
  const [first] = longshores;
  const load = small ? { idle: 20, slow: 10 } : { idle: 1_000, slow: 500 };
  const large = blobs.slice(0, 4);
  const fifty = Array<Blob>(50).fill(blobs.at(-1) ?? large[0] ?? { path: '', digest: '' });

  const from = async (open: Promise<Server>, blobs: readonly Blob[], loaded = false): Promise<Measured> => {
    await using server = await open;
    const others = loaded ? await openLoad(server.urlOf(large[0] ?? { path: '', digest: '' }), load) : undefined;
    try {
      const measured = await measure(['curl', '-sf', '--parallel', '--parallel-immediate', ...targets(server, blobs)]);
      return { ...measured, facts: { 'server, peak MiB': (await peakOf(server.pid)) / 2 ** 20 } };
    } finally {
      others?.forEach((socket) => socket.destroy());
    }
  };
  const withNginx = first && !spawnSync('nginx', ['-v']).error;
  return await takeTurns(
    [
      ...(withNginx ? [{ who: 'nginx, four clients', run: () => from(startNginx(first, directory), large) }] : []),
      ...longshores.flatMap((longshore) => [
        {
          who: `longshore serve, four clients${longshore.label}`,
          run: () => from(startServe(longshore), large),
        },
        {
          who: `fifty clients, alone${longshore.label}`,
          run: () => from(startServe(longshore), fifty),
        },
        {
          who: `fifty clients, beside others${longshore.label}`,
          run: () => from(startServe(longshore), fifty, true),
        },
      ]),
    ],
    turns,
  );
}

function targets({ urlOf }: Server, blobs: readonly Blob[]): readonly string[] {
  return ['--parallel-max', String(blobs.length), ...blobs.flatMap((blob) => ['-o', '/dev/null', urlOf(blob)])];
}

/** Fills the store of each command with images of such layers. @returns the first layer of each image */
export async function fillStores(
  longshores: readonly Longshore[],
  images: readonly (readonly Buffer[])[],
): Promise<readonly Blob[]> {
  const closing: (() => void | Promise<void>)[] = [];
  const registry = await startRegistry({ teardown: (done) => void closing.push(done) });
  const put = images.map((layers, at) => registry.putImage(`app-${at}`, '1', { layers }));
  const references = put.map((_, at) => `docker://${registry.host}/app-${at}:1`);
  for (const { fetch } of longshores)
    await fetch(references, ['--insecure-options=image', '--platform=linux/amd64', '--keep=oci']);
  for (const close of closing) await close();
  return put.map(({ manifest }, at) => ({
    path: `${registry.host}/app-${at}`,
    digest: manifest.layers[0]?.digest ?? '',
  }));
}

async function startServe({ bin, config, store }: Longshore): Promise<Server> {
  const dirs = ['--system-config', config, '--local-config', config, '--user-config', config, '--dir', store];
  const child = spawn(process.execPath, [bin, 'serve', '--listen=127.0.0.1:0', '--public', ...dirs], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const url = line.toString().trim();
  return {
    pid: child.pid ?? 0,
    urlOf: ({ path, digest }) => `${url}/v2/${path}/blobs/${digest}`,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      child.kill('SIGTERM'); // at once
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}

/** nginx with the settings of a distribution, that serves the files of the blobs. */
async function startNginx({ store }: Longshore, directory: string): Promise<Server> {
  const port = await freePort();
  const path = join(directory, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(directory, name)};`,
  );
  await writeFile(
    path,
    `user root; worker_processes auto; daemon off; pid ${join(directory, 'nginx.pid')};
    events { worker_connections 768; }
    http { sendfile on; tcp_nopush on; access_log off; ${temporary.join(' ')}
      server { listen 127.0.0.1:${port}; location / { root ${join(store, 'blobs/sha256')}; } } }`,
  );
  const child = spawn('nginx', ['-c', path, '-e', join(directory, 'nginx.log')], { stdio: 'ignore' });
  const urlOf = ({ digest }: Blob): string => `http://127.0.0.1:${port}/${digest.replace('sha256:', '')}`;
  for (let tries = 0; tries < 500 && !(await answers(port)); tries += 1) await sleep(10);
  return {
    pid: child.pid ?? 0,
    urlOf,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // of a TCP server
  server.close();
  await once(server, 'close');
  return port;
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** A slow client reads so many bytes, so often. */
const slowBytes = 4 * 1024;
const slowMs = 1_000;

/** Connections that have asked for one thing and then for nothing, and such as read a large blob slowly. */
async function openLoad(
  url: string,
  { idle, slow }: { readonly idle: number; readonly slow: number },
): Promise<readonly Socket[]> {
  const { port, pathname } = new URL(url);
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`;
  const open = async (request: string): Promise<Socket> => {
    const socket = connect({ port: Number(port), host: '127.0.0.1' });
    socket.on('error', () => undefined);
    socket.write(request);
    await once(socket, 'readable');
    return socket;
  };
  const sockets: Socket[] = [];
  for (let at = 0; at < idle; at += 1) sockets.push(await open(get('/healthz')));
  for (let at = 0; at < slow; at += 1) {
    const socket = await open(get(pathname));
    const timer = setInterval(() => void socket.read(slowBytes), slowMs);
    socket.once('close', () => clearInterval(timer));
    sockets.push(socket);
  }
  return sockets;
}
