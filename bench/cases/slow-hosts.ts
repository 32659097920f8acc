import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createInterface } from 'node:readline';

import { makeCorpus } from '../corpus.ts';
import type { Longshore } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { cpuSecondsOf, type Measured, peakOf } from '../measure.ts';
import { type Row, takeTurns } from '../take-turns.ts';
import { watchOthers } from '../watch-others.ts';

/**
 * 500 signed images of one host, alone and with fifty bad hosts before and after them in the list, which send slowly,
 * not at all, or errors. Measures the time until the last of the 500 is in the store. With 120 ms before each answer,
 * this is 20 s.
 */
export async function slowHosts({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const count = small ? 30 : 500;
  await using corpus = await makeCorpus(directory, { count, tarBytes: count * 20e3, delayMs: 120 });
  await using bad = await startBadHosts(50);
  const { urls: good, longshores } = corpus;
  const of = (path: string): readonly string[] => bad.urls.map((url) => `${url}/${path}.aci`);
  const mixed = [...of('first'), ...good, ...of('last')];
  return await takeTurns(
    [
      ...longshores.map((one) => ({ who: `good images alone${one.label}`, run: () => fetchUntil(one, good, good) })),
      ...longshores.map((one) => ({ who: `with 50 bad hosts${one.label}`, run: () => fetchUntil(one, mixed, good) })),
    ],
    turns,
  );
}

/** Fetches a list into an empty store, and stops once all of `wanted` are in it. */
async function fetchUntil(
  { bin, emptyStore, fetchArgs }: Longshore,
  images: readonly string[],
  wanted: readonly string[],
): Promise<Measured> {
  await emptyStore();
  const args = await fetchArgs(images, ['--progress=json']);
  const others = await watchOthers();
  const missing = new Set(wanted);
  const beganMs = performance.now();
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  let measured: Measured | undefined;
  for await (const line of createInterface({ input: child.stderr })) {
    const reference = fetchedOf(line);
    if (reference === undefined || !missing.delete(reference) || missing.size > 0) continue;
    const seconds = (performance.now() - beganMs) / 1000;
    const pid = child.pid ?? 0;
    const [cpuSeconds, peakBytes] = [await cpuSecondsOf(pid), await peakOf(pid)];
    measured = { seconds, cpuSeconds, peakBytes, others: await others() };
    child.kill('SIGINT');
  }
  await ended;
  if (!measured) throw new Error(`${missing.size} of ${wanted.length} images did not come`);
  return measured;
}

function fetchedOf(line: string): string | undefined {
  if (!line.includes('"node-finished"')) return undefined;
  const { outcome } = JSON.parse(line) as { outcome: { reference: string; status: string } }; // as in events.ts
  return outcome.status === 'fetched' ? outcome.reference : undefined;
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

/** Starts hosts that send slowly, not at all, or errors, in turn. */
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
