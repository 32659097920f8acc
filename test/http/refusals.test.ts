import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import type { Clock, Pacing } from '../../src/http/contract.ts';
import { systemClock } from '../../src/http/open-http.ts';
import { openTestHttp, testOptions } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import type { Route } from '../helpers/serve-route.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);

/** A clock that only sleep moves. */
function movedClock() {
  let nowMs = 0;
  const slept: number[] = [];
  const clock: Clock = {
    ...systemClock,
    random: () => 0.5,
    monotonic: () => nowMs,
    sleep: (ms) => {
      slept.push(ms);
      nowMs += ms;
      return Promise.resolve();
    },
  };
  return { clock, slept, nowMs: () => nowMs };
}

/** What a slot would say, and what it was told. */
function pacingThat({ isOfHost }: { readonly isOfHost: boolean }) {
  const told: unknown[] = [];
  const pacing: Pacing = {
    onConnection: () => () => undefined,
    onWaiting: () => undefined,
    onAnswer: () => undefined,
    onRefused(ms) {
      told.push(ms);
      return isOfHost;
    },
    onCut: () => void told.push('cut'),
    onBytes: () => undefined,
    pause: (wait) => wait(),
  };
  return { observer: { pacing }, told };
}

const busy = (retryAfter?: string, status = 429): Route => ({
  status,
  ...(retryAfter !== undefined && { headers: { 'retry-after': retryAfter } }),
});
const page = (url: string) => ({ url, limit: { name: 'page', bytes: 100 }, statuses: [200] });

test('refusals because of the number of transfers use up no tries, and are waited for four times the longest Retry-After', async (t) => {
  const limits = { ...testOptions.limits, retryAfterMs: 10_000 };
  for (const [route, told] of [
    [busy('5'), 5000],
    [busy('5', 503), 5000],
    [busy(), undefined],
  ] as const) {
    const server = await startServer(t, { '/a': route });
    const { clock, nowMs } = movedClock();
    const http = openTestHttp(t, { limits, retries: 0 }, clock);
    const slot = pacingThat({ isOfHost: true });
    const asked = http.download({ url: `${server.url}/a`, sink: memorySink(), observer: slot.observer }, signal);
    const error = await t.throwsAsync(asked);
    t.true(hasCode(error, 'RATE_LIMITED'), String(error));
    t.true(nowMs() <= 40_000 && nowMs() >= 15_000, `${nowMs()} ms`);
    t.true(slot.told.length > 4 && slot.told.every((ms) => ms === told));
  }
});

test('refusals for another reason are tries', async (t) => {
  const server = await startServer(t, { '/a': busy() });
  const { observer } = pacingThat({ isOfHost: false });
  const http = openTestHttp(t, { retries: 2 });
  await t.throwsAsync(http.getDocument({ ...page(`${server.url}/a`), observer }, signal), { code: 'RATE_LIMITED' });
  t.is(server.requests.length, 3);
});

test('what is asked once is not asked again, and the slot hears nothing of its refusal', async (t) => {
  const server = await startServer(t, { '/a': busy('30'), '/b': { body: 'b' } });
  const { clock, slept } = movedClock();
  const http = openTestHttp(t, {}, clock);
  const { observer, told } = pacingThat({ isOfHost: true });
  const once = { retries: 0, observer };
  for (const path of ['/a', '/b']) {
    const asked = http.getDocument({ ...page(server.url + path), ...once }, signal);
    t.like(await t.throwsAsync(asked), { code: 'RATE_LIMITED', details: { retryAfterMs: 30_000 } }, path);
  }
  t.is(server.requests.length, 1);
  t.deepEqual([told, slept], [[], []]);
});

test('a Retry-After holds for every request to the host, and for no other host', async (t) => {
  const server = await startServer(t, { '/a': busy('30'), '/b': { body: 'b' } });
  const other = await startServer(t, { '/b': { body: 'b' } });
  const { clock, slept } = movedClock();
  const http = openTestHttp(t, { retries: 0 }, clock);
  await t.throwsAsync(http.getDocument(page(`${server.url}/a`), signal));
  await http.getDocument(page(`${other.url}/b`), signal);
  t.deepEqual(slept, []);
  await http.getDocument(page(`${server.url}/b`), signal);
  t.deepEqual(slept, [30_000]);
  await http.getDocument(page(`${server.url}/b`), signal);
  t.deepEqual(slept, [30_000], 'the time is over');
});

test('a Retry-After holds for a part of what is repeated as well', async (t) => {
  const server = await startServer(t, { '/a': busy('30'), '/b': { body: 'b' } });
  const { clock, slept } = movedClock();
  const http = openTestHttp(t, { retries: 0 }, clock);
  const asked = async (): Promise<void> => {
    await t.throwsAsync(http.getDocument(page(`${server.url}/a`), signal));
    await http.getDocument({ ...page(`${server.url}/b`), isPart: true }, signal);
  };
  await http.repeat({ url: server.url }, asked, signal);
  t.deepEqual(slept, [30_000]);
});

test('a Retry-After of the host that a redirect leads to holds for what leads there', async (t) => {
  const behind = await startServer(t, { '/a': busy('30'), '/b': { body: 'b' } });
  const headers = { location: `${behind.url}/a` };
  const server = await startServer(t, { '/a': { status: 302, headers }, '/b': { body: 'b' } });
  for (const { url } of [behind, server]) {
    const { clock, slept } = movedClock();
    const http = openTestHttp(t, { retries: 0 }, clock);
    await t.throwsAsync(http.getDocument(page(`${server.url}/a`), signal));
    await http.getDocument(page(`${url}/b`), signal);
    t.deepEqual(slept, [30_000]);
  }
});

test('a Retry-After that is too long for one request holds up no other', async (t) => {
  const server = await startServer(t, { '/a': busy('86400'), '/b': { body: 'b' } });
  const { clock, slept } = movedClock();
  const http = openTestHttp(t, {}, clock);
  await t.throwsAsync(http.getDocument(page(`${server.url}/a`), signal), { code: 'RATE_LIMITED' });
  await http.getDocument(page(`${server.url}/b`), signal);
  t.deepEqual(slept, []);
});

test('a slot hears of a body that was cut', async (t) => {
  const server = await startServer(t, { '/a': { body: 'abcdef', etag: '"1"', cutAfter: 3 } });
  const { observer, told } = pacingThat({ isOfHost: false });
  const http = openTestHttp(t, { retries: 1 });
  await http.download({ url: `${server.url}/a`, sink: memorySink(), observer }, signal);
  t.deepEqual(told, ['cut']);
});
