import { setTimeout as sleep } from 'node:timers/promises';

import test from 'ava';

import { watchPace } from '../../src/http/exchange.ts';
import { systemClock } from '../../src/http/open-http.ts';
import { createLimiters, rateLimiter } from '../../src/http/pump.ts';
import type { Slowness } from '../../src/http/request-body.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);

test('the token bucket lets pass what the rate allows, for all its users together, and saves a tenth of a second', (t) => {
  let now = 0;
  const slept: number[] = [];
  const write = (ms: number) => {
    slept.push(ms);
    return Promise.resolve();
  };
  const take = rateLimiter(1000, { ...systemClock, monotonic: () => now, sleep: write });
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

test('a host with a rate of its own keeps to that, by whatever host it is reached, and others do not', async (t) => {
  let nowMs = 0;
  const sleptFor: number[] = [];
  const clock = {
    ...systemClock,
    monotonic: () => nowMs,
    sleep: (ms: number) => Promise.resolve(void sleptFor.push(ms)),
  };
  for (const [host, url] of [
    ['Slow.example:80', 'http://slow.example/a'],
    ['slow.example:443', 'https://slow.example/a'],
    ['slow.example', 'https://slow.example:443/a'],
  ] as const) {
    const limiterOf = createLimiters({ limitRates: { [host]: 1000 } }, clock);
    t.not(limiterOf([url]), undefined, `${host} is the host of ${url}`);
    t.is(limiterOf(['https://slow.example:80/a']), host.endsWith('80') ? limiterOf([url]) : undefined);
  }
  nowMs = 1000;
  const own = createLimiters({ limitRate: 10_000, limitRates: { 'Slow.example:8000': 1000 } }, clock);
  await own(['http://slow.example:8000/a'])?.(1100, signal);
  await own(['http://cdn.example/a', 'http://slow.example:8000/a'])?.(1000, signal);
  t.deepEqual(sleptFor, [10, 1000, 110, 2000]);
  sleptFor.length = 0;
  nowMs = 2000;
  t.is(own(['http://other.example/a'])?.(100, signal), undefined);
  t.is(createLimiters({ limitRates: { 'a.example': 5 } }, clock)(['http://b.example/']), undefined);
});

/** A clock that only a body moves: however long this process is kept from running, no second passes by itself. */
function bodyClock() {
  let nowMs = 0;
  const clock = { ...systemClock, monotonic: () => nowMs };
  return { clock, pass: (ms: number) => void (nowMs += ms) };
}

/** Chunks that come every 20 ms of the clock. */
async function* drip(pass: (ms: number) => void, bytes: number, count: number): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < count; n += 1) {
    pass(20);
    await sleep(5); // the rate is looked at in between
    yield new Uint8Array(bytes);
  }
}

async function slownessOf(bytes: number, count: number, minRate: number | undefined): Promise<Slowness | undefined> {
  const { clock, pass } = bodyClock();
  let found: Slowness | undefined;
  const pace = { stallMs: 600_000, minRate, windowMs: 200 };
  const onSlow = (slowness: Slowness) => (found ??= slowness);
  for await (const chunk of watchPace(drip(pass, bytes, count), pace, clock, onSlow)) {
    if (found || chunk.byteLength === 0) break;
  }
  return found;
}

test('a few bytes a second are too slow, a steady flow is not, and without a minimum nothing is', async (t) => {
  t.truthy(await slownessOf(1, Infinity, 1000));
  t.is(await slownessOf(10_000, 30, 1000), undefined);
  t.is(await slownessOf(1, 30, undefined), undefined);
});

test('a slow reader does not make a body count as slow', async (t) => {
  const { clock, pass } = bodyClock();
  let slow = false;
  const pace = { stallMs: 50, minRate: 9_000, windowMs: 40 };
  for await (const chunk of watchPace(drip(pass, 10_000, 3), pace, clock, () => (slow = true))) {
    t.is(chunk.byteLength, 10_000);
    pass(5_000);
    await sleep(100);
  }
  t.false(slow);
});

test.serial('a thread that was busy while the reader had its turn does not make a body count as slow', async (t) => {
  const { clock, pass } = bodyClock();
  let slow = false;
  const pace = { stallMs: 50, minRate: undefined, windowMs: 40 };
  for await (const chunk of watchPace(drip(pass, 10, 3), pace, clock, () => (slow = true))) {
    t.is(chunk.byteLength, 10);
    const until = performance.now() + 150;
    setTimeout(() => {
      while (performance.now() < until);
    }, 10);
    await sleep(60); // the timer for silence and this one are found at once
  }
  t.false(slow);
});
