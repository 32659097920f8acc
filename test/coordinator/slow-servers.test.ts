import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';

import test, { type ExecutionContext } from 'ava';

import type { ActionOptions, BatchEvent } from '../../src/internal.ts';
import { openFetching } from '../helpers/fetching.ts';
import { held } from '../helpers/held.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';
import type { Route } from '../helpers/serve-route.ts';

/** Sends the headers and a byte now and then, and the rest once it is told to. */
function drip(body: Buffer, released: Promise<unknown>): Route {
  return {
    async handler(_, response: ServerResponse) {
      response.writeHead(200, { 'content-length': body.length, etag: '"1"' });
      let at = 0;
      const more = setInterval(() => at < 100 && response.write(body.subarray(at, (at += 1))), 100);
      response.on('close', () => clearInterval(more));
      await released;
      clearInterval(more);
      response.end(body.subarray(at));
    },
  };
}

async function publish(origin: Origin, count: number, name: string, route?: (body: Buffer) => Route) {
  const images = [];
  for (let number = 0; number < count; number += 1) {
    const image = await origin.publish({ name: `example.com/${name}-${number}` });
    if (route) origin.routes[image.path] = route(image.bytes);
    images.push(image.url);
  }
  return images;
}

/** Fetches slow images first and good ones behind them. @returns what finished, in order, until `release` was called */
async function fetchBehind(
  t: ExecutionContext,
  slow: readonly string[],
  good: readonly string[],
  release: () => void,
  options: Partial<ActionOptions> = {},
) {
  const { finder } = await openFetching(t, { retries: 1000 });
  const finished: string[] = [];
  const onEvent = (event: BatchEvent): void => {
    if (event.type !== 'node-finished') return;
    finished.push(event.outcome.reference);
    if (good.every((image) => finished.includes(image))) release();
  };
  const images = [...slow, ...good].map((image) => ({ image }));
  const { outcomes } = await finder({ jobs: 2, jobsPerHost: 2, onEvent, ...options }).findImages(images);
  t.deepEqual(
    outcomes.filter(({ status }) => status !== 'fetched'),
    [],
    'and all come in the end',
  );
  return finished;
}

test('images of a good host are fetched while many slow and silent hosts have sent nothing', async (t) => {
  const released = Promise.withResolvers<void>();
  const hosts = await Promise.all(Array.from({ length: 6 }, () => startOrigin(t)));
  const slow = await Promise.all(
    hosts.map((host, at) =>
      publish(host, 2, `slow-${at}`, (body) =>
        at % 2 === 0
          ? drip(body, released.promise)
          : { handler: (_, response) => released.promise.then(() => void response.end(body)) },
      ),
    ),
  );
  const good = await publish(await startOrigin(t), 12, 'good');
  const finished = await fetchBehind(t, slow.flat(), good, released.resolve);
  t.deepEqual(finished.slice(0, good.length).sort(), good.toSorted());
});

test('images of a host are fetched while others of the same host are very slow', async (t) => {
  const released = Promise.withResolvers<void>();
  const origin = await startOrigin(t);
  const slow = await publish(origin, 3, 'slow', (body) => drip(body, released.promise));
  const good = await publish(origin, 6, 'good');
  const finished = await fetchBehind(t, slow, good, released.resolve);
  t.deepEqual(finished.slice(0, good.length).sort(), good.toSorted());
});

test('images are fetched while others wait for a busy server', async (t) => {
  const origin = await startOrigin(t);
  let isBusy = true;
  const busy = (body: Buffer): Route => ({
    handler: (_, response) =>
      void (isBusy ? response.writeHead(503, { 'retry-after': '1' }).end() : response.writeHead(200).end(body)),
  });
  const slow = await publish(origin, 8, 'busy', busy);
  const good = await publish(origin, 6, 'good');
  const finished = await fetchBehind(t, slow, good, () => (isBusy = false));
  t.deepEqual(finished.slice(0, good.length).sort(), good.toSorted());
});

test('large images that stop halfway do not delay the ingest of others', async (t) => {
  const slow = await Promise.all(
    [0, 1, 2].map(async (at) => {
      const origin = await startOrigin(t);
      const image = await origin.publish({ name: `example.com/slow-${at}`, files: { data: randomBytes(3_000_000) } });
      const route = held(image.bytes);
      origin.routes[image.path] = route;
      return { url: image.url, release: route.release };
    }),
  );
  const good = await publish(await startOrigin(t), 3, 'good');
  const release = (): void => slow.forEach((one) => one.release());
  const finished = await fetchBehind(
    t,
    slow.map(({ url }) => url),
    good,
    release,
    { jobs: 1 },
  );
  t.deepEqual(finished.slice(0, good.length).sort(), good.toSorted());
});
