import { randomBytes } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { createSlots } from '../../src/coordinator/slots.ts';
import { createRanges, type RangesPolicy } from '../../src/fetchers/ranges.ts';
import type { Clock, Downloaded, DownloadRequest } from '../../src/http/contract.ts';
import { systemClock } from '../../src/http/open-http.ts';
import { openStore, type Store } from '../../src/internal.ts';
import { openTestHttp } from '../helpers/http.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { until } from '../helpers/until.ts';

const signal = AbortSignal.timeout(600_000);
const body = randomBytes(4_000_000);
const etag = '"1"';
const quarter = body.length / 4;
/** Ranges begin with the first bytes. */
const atOnce: RangesPolicy = {
  ...{ leastBytes: 1, measuredMs: 0, mostRate: Infinity, leastRestMs: 0 },
  ...{ rangeBytes: quarter, count: 4 },
};

type Asked = { readonly first: number; readonly last: number };

type Origin = TestServer & {
  /** Resolves when three ranges were asked for. */
  readonly ranged: Promise<void>;
  /** Lets the answers go on that have no end. */
  readonly release: () => void;
};

/**
 * Serves `body`. Of an answer to a request without an end, it sends the first 100 000 bytes until `release`.
 *
 * @param onRange - answers a request for a range; true if it has done so
 */
async function startOrigin(
  t: ExecutionContext,
  onRange: (asked: Asked, response: ServerResponse, request: IncomingMessage) => boolean = () => false,
  headers: Readonly<Record<string, string>> = { etag },
): Promise<Origin> {
  const [released, ranged] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let count = 0;
  const handler = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const asked = { first: Number(first ?? 0), last: Number(last || body.length - 1) };
    const part = body.subarray(asked.first, asked.last + 1);
    if (last && (count += 1) === 3) ranged.resolve();
    if (last && onRange(asked, response, request)) return;
    if (first) response.setHeader('content-range', `bytes ${first}-${asked.last}/${body.length}`);
    response.writeHead(first ? 206 : 200, { ...headers, 'content-length': part.length });
    if (!last) {
      response.write(part.subarray(0, 100_000));
      await released.promise;
    }
    response.end(last ? part : part.subarray(100_000));
  };
  const server = await startServer(t, { '/a': { handler }, '/b': { body: '' } });
  return { ...server, ranged: ranged.promise, release: () => released.resolve() };
}

const rangesOf = ({ requests }: TestServer): readonly string[] =>
  requests.flatMap(({ headers: { range } }) => (range === undefined ? [] : [range]));

type Run = { readonly downloaded: Downloaded; readonly content: Buffer; readonly starts: readonly Start[] };
type Start = Parameters<NonNullable<DownloadRequest['onStart']>>[0];
type Running = {
  readonly store: Store;
  /** Downloads into the partial download of the URL, by ranges; keeps what has come if it fails. */
  readonly run: (
    url: string,
    about?: Partial<Parameters<typeof createRanges>[0]>,
    stop?: AbortSignal,
    policy?: RangesPolicy,
  ) => Promise<Run>;
  /** Sends one more request. */
  readonly ask: (url: string) => Promise<unknown>;
  /** Resolves when three ranges have failed. */
  readonly failed: Promise<void>;
};

async function openRunning(
  t: ExecutionContext,
  jobsPerHost = 16,
  options: Parameters<typeof openTestHttp>[1] = {},
  clock?: Clock,
): Promise<Running> {
  const store = await openStore({ dir: await temporaryDirectory(t), writesLittle: true });
  t.teardown(() => store.close());
  const http = openTestHttp(t, { retries: 0, ...options }, clock);
  const slots = createSlots({ jobs: 16, jobsPerHost });
  const failed = Promise.withResolvers<void>();
  let failures = 0;
  return {
    ...{ store, failed: failed.promise },
    ask: (url) => http.getDocument({ url, limit: { name: 'x', bytes: 9 }, statuses: [200] }, signal),
    run: (url, about = {}, stop = signal, policy = atOnce) =>
      slots.run(new URL(url).host, stop, async (slot) => {
        await using _claim = await store.claim(url, stop);
        const sink = await store.openPartial(url);
        const download: Parameters<typeof createRanges>[0]['download'] = (range, own, either) =>
          http.download({ url, ...range, observer: { pacing: own } }, either).catch((error: unknown) => {
            if ((failures += 1) === 3) failed.resolve();
            throw error;
          });
        const options = { store, slots, key: url, host: new URL(url).host, download, ...about };
        const ranges = createRanges(options, stop, policy);
        const starts: Start[] = [];
        try {
          const onStart = (start: Start): void => void starts.push(start);
          const request = { url, sink, ahead: ranges, observer: { pacing: slot }, onStart };
          const downloaded = await http.download(request, stop);
          await ranges.close('discard');
          const content = await readFile(sink.path);
          await sink.discard();
          return { downloaded, content, starts };
        } catch (error) {
          await ranges.close('keep');
          await sink.close();
          throw error;
        }
      }),
  };
}

const last3 = [1, 2, 3].map((index) => `bytes=${index * quarter}-${(index + 1) * quarter - 1}`);

test('a large body comes as four ranges, in order and whole', async (t) => {
  const origin = await startOrigin(t);
  const { run, store } = await openRunning(t);
  const running = run(`${origin.url}/a`);
  await origin.ranged;
  origin.release();
  const { downloaded, content, starts } = await running;
  t.deepEqual(await readdir(join(store.dir, 'downloads')), []);
  t.true(content.equals(body));
  t.deepEqual(rangesOf(origin).toSorted(), last3);
  t.true(origin.requests.slice(1).every(({ headers }) => headers['if-range'] === etag));
  t.like(downloaded, {
    kind: 'complete',
    bytes: body.length,
    transferred: body.length,
    responses: 2,
    freshness: { etag },
  });
  t.deepEqual(
    starts.map(({ goesOn = false }) => goesOn),
    [false, true],
    'what comes over another connection is not told as resumed',
  );
});

const answers: Readonly<Record<string, (asked: Asked, response: ServerResponse) => void>> = {
  'without ranges': (_, response) => response.writeHead(200, { etag, 'content-length': body.length }).end(body),
  'with another version': (_, response) => response.writeHead(200, { etag: '"2"', 'content-length': 3 }).end('new'),
  'with a range of another version': ({ first, last }, response) =>
    response
      .writeHead(206, { etag: '"2"', 'content-range': `bytes ${first}-${last}/${body.length}` })
      .end(Buffer.alloc(quarter, 1)),
  'with a range that begins elsewhere': ({ first, last }, response) =>
    response
      .writeHead(206, { etag, 'content-range': `bytes ${first + 1}-${last}/${body.length}` })
      .end(Buffer.alloc(quarter - 1, 1)),
  'with a range that ends elsewhere': ({ first, last }, response) =>
    response
      .writeHead(206, { etag, 'content-range': `bytes ${first}-${last - 1}/${body.length}` })
      .end(Buffer.alloc(quarter - 1, 1)),
  'with a range of another total': ({ first, last }, response) =>
    response
      .writeHead(206, { etag, 'content-range': `bytes ${first}-${last}/${body.length + 1}` })
      .end(Buffer.alloc(quarter, 1)),
  'with too many bytes': ({ first, last }, response) =>
    response
      .writeHead(206, { etag, 'content-range': `bytes ${first}-${last}/${body.length}` })
      .end(Buffer.concat([body.subarray(first, last + 1), Buffer.alloc(9)])),
  'with 429': (_, response) => response.writeHead(429).end(),
  'with half of a range': ({ first, last }, response) => {
    response.writeHead(206, {
      etag,
      'content-range': `bytes ${first}-${last}/${body.length}`,
      'content-length': quarter,
    });
    response.write(body.subarray(first, first + quarter / 2), () => response.destroy());
  },
};

for (const [how, answer] of Object.entries(answers)) {
  test(`the download gets by itself what a server does not send as asked: ${how}`, async (t) => {
    const origin = await startOrigin(t, (asked, response) => {
      answer(asked, response);
      return true;
    });
    const { run } = await openRunning(t);
    const running = run(`${origin.url}/a`);
    await origin.ranged;
    origin.release();
    t.true((await running).content.equals(body));
  });
}

for (const [what, headers] of [
  ['a weak validator', { etag: 'W/"1"' }],
  ['no validator', {}],
] as const) {
  test(`no range is asked for of a body with ${what}`, async (t) => {
    const origin = await startOrigin(t, undefined, headers);
    const { run } = await openRunning(t);
    origin.release();
    t.true((await run(`${origin.url}/a`)).content.equals(body));
    t.deepEqual(rangesOf(origin), []);
  });
}

test('a host that gets one transfer at a time gets no ranges, and none of them holds up the download', async (t) => {
  const origin = await startOrigin(t);
  const { run } = await openRunning(t, 1);
  origin.release();
  t.true((await run(`${origin.url}/a`)).content.equals(body));
  t.deepEqual(rangesOf(origin), []);
});

test('each range is resumed by the next run, as is the download', async (t) => {
  const half = quarter / 2;
  let isFirst = true;
  let waiting = 0;
  const halves = Promise.withResolvers<void>();
  const origin = await startOrigin(t, ({ first, last }, response) => {
    if (!isFirst) return false;
    response.writeHead(206, {
      etag,
      'content-range': `bytes ${first}-${last}/${body.length}`,
      'content-length': quarter,
    });
    response.write(body.subarray(first, first + half), () => (waiting += 1) === 3 && halves.resolve());
    return true;
  });
  const { run, store } = await openRunning(t);
  const url = `${origin.url}/a`;
  const stop = new AbortController();
  const stopped = run(url, {}, stop.signal);
  await halves.promise;
  await until(async () => (await sizesIn(store)).filter((bytes) => bytes === half).length === 3);
  stop.abort(new Error('stopped'));
  await t.throwsAsync(stopped, { message: 'stopped' });
  isFirst = false;
  const before = origin.requests.length;
  origin.release();
  const { content, downloaded } = await run(url);
  t.true(content.equals(body));
  const asked = origin.requests.slice(before).map(({ headers }) => headers.range);
  t.is(asked[0], 'bytes=100000-');
  for (const range of asked.slice(1)) {
    const from = Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1]);
    t.true(from % quarter === half || range?.endsWith('-'), range);
  }
  t.true(downloaded.kind === 'complete' && downloaded.responses > 1);
  t.deepEqual(await readdir(join(store.dir, 'downloads')), []);
});

test('if the file changes on the server, what has come of the old version is not used', async (t) => {
  const changed = randomBytes(body.length);
  let isChanged = false;
  const server = await startServer(t, {
    '/a': {
      handler: (request, response) => {
        const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
        if (isChanged) {
          response.writeHead(200, { etag: '"2"', 'content-length': changed.length }).end(changed);
        } else if (last) {
          response.writeHead(206, { etag, 'content-range': `bytes ${first}-${last}/${body.length}` });
          response.end(body.subarray(Number(first), Number(last) + 1));
        } else {
          response.writeHead(200, { etag, 'content-length': body.length });
          response.write(body.subarray(0, 100_000));
        }
      },
    },
  });
  const { run, store } = await openRunning(t);
  const stop = new AbortController();
  const stopped = run(`${server.url}/a`, {}, stop.signal);
  await until(async () => (await sizesIn(store)).filter((bytes) => bytes === quarter).length === 3);
  stop.abort(new Error('stopped'));
  await t.throwsAsync(stopped);
  isChanged = true;
  t.true((await run(`${server.url}/a`)).content.equals(changed));
});

test('where each server behind a name has a version of its own, ranges are tried once', async (t) => {
  let whole = 0;
  let ranged = 0;
  let version = etag;
  const server = await startServer(t, {
    '/a': {
      handler: (request, response): void => {
        const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
        const part = body.subarray(Number(first ?? 0), Number(last || body.length - 1) + 1);
        if (last && Number(last) < body.length - 1 && request.headers['if-range'] === version) {
          response.writeHead(206, { etag: version, 'content-range': `bytes ${first}-${last}/${body.length}` });
          response.end(part, () => (ranged += 1));
          return;
        }
        if (last || (whole += 1) > 4) {
          response.writeHead(404).end();
          return;
        }
        version = `"${whole}"`;
        response.writeHead(200, { etag: version, 'content-length': body.length });
        response.write(body.subarray(0, 100_000));
        const rest = () => response.end(body.subarray(100_000));
        if (whole === 1) void until(() => ranged === 2).then(rest);
        else setTimeout(rest, 500).unref(); // by then ranges would have been asked for
      },
    },
  });
  const { run } = await openRunning(t);
  t.true((await run(`${server.url}/a`)).content.equals(body));
  t.is(whole, 2);
});

test('no range is asked for while a limit of the rate is what limits', async (t) => {
  const origin = await startOrigin(t);
  origin.release();
  const { run } = await openRunning(t, 16, { limitRate: 4_000_000 }, systemClock);
  t.true((await run(`${origin.url}/a`, {}, signal, { ...atOnce, measuredMs: 500 })).content.equals(body));
  t.deepEqual(rangesOf(origin), []);
});

test('no range is asked for where the disk has no room for what is there twice meanwhile', async (t) => {
  for (const [free, count] of [[body.length, 0] as const, [10 * body.length, 3] as const]) {
    const origin = await startOrigin(t);
    const { run, store } = await openRunning(t);
    const asked = Promise.withResolvers<void>();
    const freeBytes = (): Promise<number> => {
      setImmediate(() => asked.resolve());
      return Promise.resolve(free);
    };
    const running = run(`${origin.url}/a`, { store: { ...store, freeBytes } });
    await asked.promise;
    if (count > 0) await origin.ranged;
    origin.release();
    t.true((await running).content.equals(body));
    t.is(rangesOf(origin).length, count);
  }
});

test('a host that takes no further connection for ranges is not dead', async (t) => {
  const origin = await startOrigin(t, (_, response) => response.destroy() !== undefined);
  const { run, ask, failed } = await openRunning(t);
  const running = run(`${origin.url}/a`);
  await failed;
  await t.notThrowsAsync(ask(`${origin.url}/b`));
  origin.release();
  t.true((await running).content.equals(body));
});

/** The sizes of all partial downloads of a store. */
async function sizesIn({ dir }: Store): Promise<readonly number[]> {
  const names = await readdir(join(dir, 'downloads'), { recursive: true });
  const sizes = names.filter((name) => name.endsWith('.part')).map((name) => stat(join(dir, 'downloads', name)));
  return (await Promise.all(sizes)).map(({ size }) => size);
}
