import test from 'ava';

import { createTraffic } from '../../src/http/exchange.ts';

test('requests, bytes, refusals, retries and the most at a time are counted by host', (t) => {
  const traffic = createTraffic();
  const [first, second] = [traffic.begin('a:1'), traffic.begin('a:1')];
  first({ method: 'GET', status: 200, headers: {} }, 10, 1);
  second({ method: 'GET', status: 429, headers: {} }, 5, 2);
  traffic.begin('a:1')(undefined, 0, 4);
  traffic.retried('a:1');
  const expected = {
    requests: 3,
    bytesReceived: 15,
    bytesSent: 7,
    retries: 1,
    refusals: 1,
    concurrency: 2,
    counted: 0,
  };
  t.deepEqual(traffic.read(), [{ host: 'a:1', ...expected }]);
});

test('the quota of a host is what it said last, and only what can be read', (t) => {
  const quotaOf = (limit: string, remaining?: string) => {
    const traffic = createTraffic();
    const headers = { 'ratelimit-limit': limit, ...(remaining !== undefined && { 'ratelimit-remaining': remaining }) };
    traffic.begin('a')({ method: 'GET', status: 200, headers }, 0, 0);
    traffic.begin('a')({ method: 'HEAD', status: 200, headers }, 0, 0);
    traffic.begin('a')({ method: 'GET', status: 200, headers: {} }, 0, 0);
    const [{ quota, counted } = {}] = traffic.read();
    return [quota, counted];
  };
  t.deepEqual(quotaOf('100;w=21600', '76;w=21600'), [{ limit: 100, remaining: 76, windowSeconds: 21_600 }, 1]);
  t.deepEqual(quotaOf('100'), [{ limit: 100 }, 1]);
  for (const odd of ['', '-1', '1e3', `${'9'.repeat(13)}`, '100;w=', '100, 200;w=1', `100;w=${' '.repeat(100)}5`])
    t.deepEqual(quotaOf(odd, '5'), [undefined, 0], odd);
  t.deepEqual(quotaOf('100;w=60', 'many'), [{ limit: 100, windowSeconds: 60 }, 1]);
});

test('hosts beyond the first hundred are counted together', (t) => {
  const traffic = createTraffic();
  for (let at = 0; at < 150; at += 1) traffic.begin(`h${at}`)(undefined, 1, 0);
  t.is(traffic.read().length, 101);
  t.like(traffic.read().at(-1), { host: 'other', requests: 50, bytesReceived: 50 });
});

test('so are those with a name that is longer than any, and a quota of one is not that of all', (t) => {
  const traffic = createTraffic();
  const headers = { 'ratelimit-limit': '100' };
  for (const host of ['a'.repeat(300), 'b'.repeat(301), 'c'.repeat(10_000)]) {
    traffic.begin(host)({ method: 'GET', status: 200, headers }, 0, 0);
    traffic.retried(host);
  }
  t.deepEqual(
    traffic.read().map(({ host, requests, retries, quota }) => [host.length, requests, retries, quota]),
    [
      [300, 1, 1, { limit: 100 }],
      ['other'.length, 2, 2, undefined],
    ],
  );
});
