import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { buildAci } from '../test/helpers/archive.ts';
import { type Asked, startBusyHost } from '../test/helpers/busy-host.ts';
import { startServer, type Teardown } from '../test/helpers/server.ts';
import { type Longshore, openLongshores } from './longshore.ts';
import { watchOthers } from './watch-others.ts';

/**
 * Proves how longshore treats hosts that limit it, and keeps to limits of its own: `npx node bench/hosts.ts [--small] [CASE...]`. Each case
 * is a line with what is wanted and what was found; it ends with 1 if any is missed. With `--small` cases take a
 * few seconds, and what depends on how fast this machine is does not count.
 */
const { values, positionals } = parseArgs({
  options: { small: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const { small } = values;

type Proof = { readonly wanted: string; readonly found: string; readonly isHeld: boolean };
type Context = { readonly t: Teardown; readonly longshore: Longshore; readonly directory: string };

const cases: Readonly<Record<string, (context: Context) => Promise<Proof>>> = {
  'accepts-3': (context) => accepts(context, 3),
  'accepts-8': (context) => accepts(context, 8),
  'accepts-20': (context) => accepts(context, 20),
  'retry-after-20': (context) => retryAfter(context, small ? 2 : 20, 'seconds'),
  'retry-after-90': (context) => retryAfter(context, small ? 3 : 90, 'date'),
  trickle,
  'limit-rate': (context) => limitRate(context, undefined),
  'limit-rate-of-host': (context) => limitRate(context, 'host'),
  'long-path': longPath,
  'eight-processes': eightProcesses,
};

/** A host that answers k requests at a time, each after a third of a second, gets about k, and refuses few once that is found out. */
async function accepts({ t, longshore }: Context, k: number): Promise<Proof> {
  const [settleMs, lastMs, answerMs] = small ? [1500, 2500, 50] : [30_000, 60_000, 300];
  const { bytes: image } = await buildAci({ name: 'example.com/app' });
  const host = await startBusyHost(t, { image, accepts: k, answerMs });
  const urls = host.urls(Math.ceil((k * lastMs) / answerMs));
  const code = await run(longshore, urls, k > 16 ? ['--jobs=32', '--jobs-per-host=24'] : []);
  const beganMs = host.asked[0]?.atMs ?? 0;
  // by number where this machine may be slow: so many are asked in that time if it is not
  const later = small
    ? host.asked.slice((k * settleMs) / answerMs)
    : host.asked.filter(({ atMs }) => atMs >= beganMs + settleMs);
  const refused = later.filter(({ isRefused }) => isRefused).length / Math.max(1, later.length);
  // the most in each two seconds: within one, a transfer may be between its requests, and none of them is under way
  const most = Map.groupBy(later.slice(0, -2 * k), ({ atMs }) => Math.floor(atMs / 2000))
    .values()
    .map((asked) => Math.max(...asked.map(({ inFlight }) => inFlight)))
    .toArray();
  const [least, highest] = [Math.min(...most), Math.max(...most)];
  const usual = median(later.map(({ inFlight }) => inFlight));
  return {
    wanted: `${k - 1} to ${k + 1} at a time after ${settleMs / 1000} s, at most 2 % refused, no image fails`,
    found: `${least} to ${highest}, as a request came mostly ${usual}; ${percent(refused)} of ${later.length} refused (${percent(refusedOf(host.asked))} of all); exit ${code}`,
    isHeld: highest <= k + 1 && (small || (least >= k - 1 && refused <= 0.02)) && code === 0,
  };
}

const refusedOf = (asked: readonly Asked[]): number =>
  asked.filter(({ isRefused }) => isRefused).length / Math.max(1, asked.length);

/** One image of a host is answered with Retry-After: nothing is asked of that host until then, and another one is served. */
async function retryAfter({ t, longshore }: Context, seconds: number, form: 'seconds' | 'date'): Promise<Proof> {
  const { bytes: image } = await buildAci({ name: 'example.com/app' });
  const other = await startBusyHost(t, { image, accepts: Infinity, answerMs: small ? 200 : 2000 });
  const asked: number[] = [];
  let refusedAtMs = Infinity;
  let untilMs = Infinity;
  const server = await startServer(t, {});
  const urls = Array.from({ length: 200 }, (_, at) => {
    server.routes[`/${at}.aci`] = {
      async handler(_, response) {
        asked.push(performance.now());
        if (asked.length === 50) {
          refusedAtMs = performance.now();
          const until =
            form === 'seconds' ? Date.now() + seconds * 1000 : Math.ceil(Date.now() / 1000 + seconds) * 1000;
          untilMs = refusedAtMs + (until - Date.now());
          const header = form === 'seconds' ? String(seconds) : new Date(until).toUTCString();
          response.writeHead(429, { 'retry-after': header }).end();
          return;
        }
        await sleep(20, undefined, { ref: false });
        response.end(image);
      },
    };
    return `${server.url}/${at}.aci`;
  });
  const elsewhere = other.urls(small ? 100 : seconds * 5);
  const code = await run(longshore, [...urls, ...elsewhere], []);
  const graceMs = small ? 1000 : 500; // what was asked when the answer came
  const early = asked.filter((atMs) => atMs > refusedAtMs + graceMs && atMs < untilMs - 1).length;
  const first = asked.find((atMs) => atMs >= untilMs - 1) ?? Infinity;
  const meanwhile = other.asked.filter(({ atMs }) => atMs > refusedAtMs && atMs < untilMs).length;
  return {
    wanted: `after Retry-After of ${seconds} s (${form}) nothing earlier, and something within 1 s; another host is served`,
    found: `${early} earlier, the first ${((first - untilMs) / 1000).toFixed(2)} s after it; ${meanwhile} requests to another; exit ${code}`,
    isHeld: early === 0 && first <= untilMs + (small ? 60_000 : 1000) && meanwhile > 0 && code === 0,
  };
}

/** A body of one byte a second is left once it is below --min-rate, and its rest asked for. */
async function trickle({ t, longshore }: Context): Promise<Proof> {
  const { bytes } = await buildAci({ name: 'example.com/app', size: 300_000 });
  const asked: { readonly atMs: number; readonly range: string | undefined }[] = [];
  const server = await startServer(t, {
    '/a.aci': {
      handler(request, response) {
        const { range } = request.headers;
        asked.push({ atMs: performance.now(), range });
        const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
        const head = { etag: '"1"', 'content-length': bytes.length - from };
        if (range !== undefined) {
          response.writeHead(206, { ...head, 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
          response.end(bytes.subarray(from));
          return;
        }
        response.writeHead(200, head);
        let at = 100_000;
        response.write(bytes.subarray(0, at));
        const drip = setInterval(() => response.write(bytes.subarray(at, (at += 1))), 1000);
        response.once('close', () => clearInterval(drip));
      },
    },
  });
  const code = await run(longshore, [`${server.url}/a.aci`], ['--min-rate=1K']);
  const waitedMs = (asked[1]?.atMs ?? Infinity) - (asked[0]?.atMs ?? 0);
  return {
    wanted: 'left when 5 s brought less than --min-rate, at most 15 s, and finished by a range',
    found: `left after ${(waitedMs / 1000).toFixed(1)} s, then ${asked[1]?.range ?? 'nothing'}, ${asked.length} requests; exit ${code}`,
    isHeld: waitedMs <= (small ? 60_000 : 15_000) && asked.length === 2 && asked[1]?.range !== undefined && code === 0,
  };
}

/** Four images at once keep to a rate, of all or of their host. */
async function limitRate({ t, longshore, directory }: Context, of: 'host' | undefined): Promise<Proof> {
  const [rate, seconds] = small ? [2_000_000, 2] : [2_000_000, 30];
  const each = Math.round((rate * seconds) / 4);
  const archives = [1, 2, 3, 4].map((seed) => buildAci({ name: `example.com/app-${seed}`, size: each, seed }));
  const bodies = (await Promise.all(archives)).map(({ bytes }) => bytes);
  const routes = Object.fromEntries(bodies.map((body, at) => [`/${at}.aci`, { body }]));
  const server = await startServer(t, routes);
  const free = await startServer(t, routes);
  const { host } = new URL(server.url);
  const events = join(directory, 'events.jsonl');
  const urls = Object.keys(routes).map((path) => `${server.url}${path}`);
  const others = of ? Object.keys(routes).map((path) => `${free.url}${path}?other`) : [];
  const limit = of ? `${host}=${rate}` : String(rate);
  const code = await run(longshore, [...urls, ...others], [`--limit-rate=${limit}`, `--events=${events}`, '--jobs=16']);
  const timed = (await readFile(events, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as FetchEvent);
  const spanOf = (origin: string): number => {
    const own = timed.filter(({ type, url }) => /^download-(started|finished)$/.test(type) && url?.startsWith(origin));
    const at = own.map(({ time }) => Date.parse(time));
    return (Math.max(...at) - Math.min(...at)) / 1000;
  };
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  const share = bytes / spanOf(server.url) / rate;
  const freely = of ? `; another host ${(spanOf(server.url) / spanOf(free.url)).toFixed(0)} times as fast` : '';
  return {
    wanted: `${of ? 'one host' : 'all'} at ${rate} bytes a second, within 5 % over ${seconds} s`,
    found: `${percent(share)} of it${freely}; exit ${code}`,
    isHeld: (Math.abs(share - 1) <= 0.05 || (small && share <= 1.15)) && code === 0,
  };
}

/** One large archive over a path of 100 MB/s and 100 ms, which a relay makes: it delays bytes, and lets so many be under way. */
async function longPath({ t, longshore, directory }: Context): Promise<Proof> {
  const [rate, rttMs, size] = [100_000_000, 100, small ? 20_000_000 : 500_000_000];
  const { bytes } = await buildAci({ name: 'example.com/app', size, compress: 'none' });
  const server = await startServer(t, { '/a.aci': { body: bytes } });
  const relay = createServer((client) => relayTo(client, Number(new URL(server.url).port), { rate, rttMs }));
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  t.teardown(() => void relay.close());
  const events = join(directory, 'events.jsonl');
  const url = `http://127.0.0.1:${(relay.address() as AddressInfo).port}/a.aci`;
  const code = await run(longshore, [url], [`--events=${events}`]);
  const [started = NaN, finished = NaN] = (await readFile(events, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as FetchEvent)
    .filter(({ type }) => /^download-(started|finished)$/.test(type))
    .map(({ time }) => Date.parse(time));
  const share = bytes.length / ((finished - started) / 1000) / rate;
  return {
    wanted: `a path of ${rttMs} ms and ${rate / 1e6} MB/s filled to at least 90 %`,
    found: `${percent(share)}; exit ${code}`,
    isHeld: (small || share >= 0.9) && code === 0,
  };
}

/** What the server sends comes half a round trip later, at the rate of the path; no more than that is under way. */
function relayTo(
  client: Socket,
  port: number,
  { rate, rttMs }: { readonly rate: number; readonly rttMs: number },
): void {
  const server = connect(port, '127.0.0.1');
  const most = (rate * rttMs) / 1000;
  const queue: { readonly chunk: Buffer; readonly atMs: number }[] = [];
  let underWay = 0;
  let freeAtMs = 0;
  let isSending = false;
  const after = (ms: number, send: () => void): void => void setTimeout(send, ms).unref();
  // one timer: several would fire in another order than they were set in
  const send = (): void => {
    for (let next = queue[0]; next && next.atMs <= performance.now(); next = queue[0]) {
      const { chunk } = next;
      queue.shift();
      client.write(chunk, () => {
        underWay -= chunk.length;
        if (underWay < most) server.resume();
      });
    }
    const [next] = queue;
    isSending = next !== undefined;
    if (next) after(Math.max(1, next.atMs - performance.now()), send);
  };
  client.on('data', (chunk) => after(rttMs / 2, () => server.write(chunk)));
  server.on('data', (chunk) => {
    const nowMs = performance.now();
    freeAtMs = Math.max(nowMs, freeAtMs) + (chunk.length / rate) * 1000;
    underWay += chunk.length;
    if (underWay >= most) server.pause();
    queue.push({ chunk, atMs: freeAtMs + rttMs / 2 });
    if (!isSending) send();
  });
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    one.on('error', () => other.destroy());
    one.on('close', () => after(rttMs, () => other.destroy()));
  }
}

type FetchEvent = { readonly type: string; readonly time: string; readonly url?: string };

/** Eight processes fetch one list into one store at the same time: no body is served twice. */
async function eightProcesses({ t, longshore }: Context): Promise<Proof> {
  const count = small ? 20 : 200;
  const served = new Map<string, number>();
  const server = await startServer(t, {});
  const urls = await Promise.all(
    Array.from({ length: count }, async (_, at) => {
      const { bytes } = await buildAci({ name: `example.com/app-${at}`, size: 200_000, seed: at });
      server.routes[`/${at}.aci`] = {
        async handler(_, response) {
          served.set(`${at}`, (served.get(`${at}`) ?? 0) + 1);
          await sleep(20, undefined, { ref: false });
          response.writeHead(200, { 'content-length': bytes.length, 'cache-control': 'max-age=600' }).end(bytes);
        },
      };
      return `${server.url}/${at}.aci`;
    }),
  );
  const args = await longshore.fetchArgs(urls, options([]));
  const codes = await Promise.all(Array.from({ length: 8 }, () => start(longshore, args)));
  const twice = [...served.values()].filter((times) => times > 1).length;
  return {
    wanted: `each of ${count} bodies served once to eight processes`,
    found: `${served.size} served, ${twice} of them more than once; exits ${codes.join(' ')}`,
    isHeld: served.size === count && twice === 0 && codes.every((code) => code === 0),
  };
}

const options = (more: readonly string[]): readonly string[] => [
  '--progress=none',
  '--insecure-options=image,http',
  ...more,
];

/** @returns the exit code */
async function run(longshore: Longshore, urls: readonly string[], more: readonly string[]): Promise<number> {
  await longshore.emptyStore();
  return start(longshore, await longshore.fetchArgs(urls, options(more)));
}

async function start({ bin }: Longshore, args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? -1;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((one, other) => one - other)[numbers.length >> 1] ?? NaN;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

for (const name of positionals.length > 0 ? positionals : Object.keys(cases)) {
  const prove = cases[name];
  if (!prove) throw new Error(`no case ${name}; there are ${Object.keys(cases).join(', ')}`);
  const directory = await mkdtemp(join(tmpdir(), 'longshore-hosts-'));
  const ends: (() => void | Promise<void>)[] = [() => rm(directory, { recursive: true, force: true })];
  try {
    const [longshore] = await openLongshores(directory);
    if (!longshore) throw new Error('there is no longshore');
    const others = await watchOthers();
    const proof = await prove({ t: { teardown: (done) => void ends.unshift(done) }, longshore, directory });
    const { share } = await others();
    const note = share > 0.1 ? ` (others took ${percent(share)} of the machine)` : '';
    process.stdout.write(
      `${proof.isHeld ? 'held  ' : 'MISSED'} ${name}: ${proof.wanted}\n       ${proof.found}${note}\n`,
    );
    if (!proof.isHeld) process.exitCode = 1;
  } finally {
    for (const end of ends) await end();
  }
}
