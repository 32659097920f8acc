import test from 'ava';

import { systemClock } from '../../src/http/open-http.ts';
import { rateLimiter } from '../../src/http/pump.ts';
import { watchPace, type Slowness } from '../../src/http/exchange.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(30_000);

test('the token bucket lets pass what the rate allows, for all its users together, and saves a tenth of a second', (t) => {
  let now = 0;
  const slept: number[] = [];
  const sleep = (ms: number) => {
    slept.push(ms);
    return Promise.resolve();
  };
  const take = rateLimiter(1000, { ...systemClock, monotonic: () => now, sleep });
  t.is(take(100, signal), undefined);
  void take(500, signal);
  void take(500, signal);
  t.deepEqual(slept, [500, 1000]);
  now = 60_000;
  t.is(take(100, signal), undefined);
  void take(100, signal);
  t.deepEqual(slept, [500, 1000, 100]);
});

test('all transfers together keep to the rate limit', async (t) => {
  const body = Buffer.alloc(300_000);
  const server = await startServer(t, { '/a': { body } });
  const http = openTestHttp(t, { limitRate: 600_000 }, systemClock);
  const started = performance.now();
  const get = () => http.download({ url: `${server.url}/a`, sink: memorySink() }, signal);
  await Promise.all([get(), get(), get()]);
  const seconds = (performance.now() - started) / 1000;
  t.true(seconds > 1.3, `${seconds} s for 1.5 s of bytes`);
});

async function slownessOf(body: AsyncIterable<Uint8Array>, minRate: number | undefined): Promise<Slowness | undefined> {
  let found: Slowness | undefined;
  const pace = { stallMs: 60_000, minRate, windowMs: 200 };
  const onSlow = (slowness: Slowness) => (found ??= slowness);
  for await (const chunk of watchPace(body, pace, systemClock, onSlow)) {
    if (found || chunk.byteLength === 0) break;
  }
  return found;
}

async function* drip(bytes: number, everyMs: number, count: number): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < count; n += 1) {
    await new Promise((resolve) => setTimeout(resolve, everyMs));
    yield new Uint8Array(bytes);
  }
}

test('a few bytes a second are too slow, a steady flow is not, and without a minimum nothing is', async (t) => {
  t.truthy(await slownessOf(drip(1, 20, 40), 1000));
  t.is(await slownessOf(drip(10_000, 20, 30), 1000), undefined);
  t.is(await slownessOf(drip(1, 20, 30), undefined), undefined);
});

test('a slow reader does not make a body count as slow', async (t) => {
  let slow = false;
  const pace = { stallMs: 1_000, minRate: 9_000, windowMs: 1_000 };
  for await (const chunk of watchPace(drip(10_000, 1, 3), pace, systemClock, () => (slow = true))) {
    t.is(chunk.byteLength, 10_000);
    await new Promise((resolve) => setTimeout(resolve, 1_300));
  }
  t.false(slow);
});
