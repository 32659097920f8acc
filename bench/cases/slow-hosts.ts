import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { makeCorpus } from '../corpus.ts';
import { emptyStore, longshore, trust } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import type { Measured } from '../measure.ts';
import { archiveOf } from '../names.ts';
import { startOrigin } from '../start-origin.ts';
import { takeTurns, type Row } from '../take-turns.ts';
import { watchOthers } from '../watch-others.ts';

/**
 * 500 signed images of one host, by themselves and with fifty hosts that drip, are silent or fail, before them in the list
 * and once more behind them: until the last of the 500 is there. 120 ms before each answer makes that 20 s.
 */
export async function slowHosts({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const count = small ? 30 : 500;
  await using corpus = await makeCorpus({ directory, count, tarBytes: count * 20e3 });
  await using origin = await startOrigin(join(directory, 'files'), { delayMs: 120, rate: 0 });
  await using bad = await startBadHosts(50);
  await trust(directory, corpus.certificate);
  const good = corpus.names.map((name) => `${origin.url}/${archiveOf(name)}`);
  const of = (path: string): readonly string[] => bad.urls.map((url) => `${url}/${path}.aci`);
  const mixed = [...of('first'), ...good, ...of('last')];
  return await takeTurns(
    [
      { who: 'good images alone', run: () => fetchUntil(directory, good, good) },
      { who: 'with 50 bad hosts', run: () => fetchUntil(directory, mixed, good) },
    ],
    turns,
  );
}

/** Fetches a list into an empty store until all of `wanted` are there, and then no further. */
async function fetchUntil(directory: string, images: readonly string[], wanted: readonly string[]): Promise<Measured> {
  await emptyStore(directory);
  const list = join(directory, 'list.txt');
  await writeFile(list, images.join('\n'));
  const [node = '', ...args] = longshore(directory, ['fetch', '--progress=json', '-f', list]);
  const others = await watchOthers();
  const missing = new Set(wanted);
  const beganMs = performance.now();
  const child = spawn(node, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  let measured: Measured | undefined;
  for await (const line of createInterface({ input: child.stderr })) {
    const reference = fetchedOf(line);
    if (reference === undefined || !missing.delete(reference) || missing.size > 0) continue;
    const wallMs = performance.now() - beganMs;
    measured = { wallMs, ...(await costOf(child.pid ?? 0)), others: await others() };
    child.kill('SIGINT');
  }
  await ended;
  if (!measured) throw new Error(`${missing.size} of ${wanted.length} images did not come`);
  return measured;
}

function fetchedOf(line: string): string | undefined {
  if (!line.includes('"node-finished"')) return undefined;
  const { outcome } = JSON.parse(line) as { outcome: { reference: string; status: string } }; // as events.ts has it
  return outcome.status === 'fetched' ? outcome.reference : undefined;
}

/** Of a process that still runs, with its threads. */
async function costOf(pid: number): Promise<Pick<Measured, 'cpuMs' | 'peakMiB'>> {
  const [stat, status] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8'),
    readFile(`/proc/${pid}/status`, 'utf8'),
  ]);
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const ticks = (fields[11] ?? 0) + (fields[12] ?? 0);
  return { cpuMs: ticks * 10, peakMiB: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024 };
}

const kinds: readonly RequestListener[] = [
  (_, response) => {
    response.writeHead(200, { 'content-length': 1_000_000, etag: '"1"' });
    const drip = setInterval(() => response.write(Buffer.alloc(100)), 100);
    response.on('close', () => clearInterval(drip));
  },
  () => undefined,
  (_, response) => void response.writeHead(503).end(),
];

/** Hosts that drip, are silent or fail, by turns. */
async function startBadHosts(count: number): Promise<AsyncDisposable & { readonly urls: readonly string[] }> {
  const servers: Server[] = [];
  const urls: string[] = [];
  for (let at = 0; at < count; at += 1) {
    const server = createServer(kinds[at % kinds.length]).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
    servers.push(server);
    urls.push(`http://127.0.0.1:${address.port}`);
  }
  return {
    urls,
    async [Symbol.asyncDispose]() {
      for (const server of servers) server.closeAllConnections();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}
