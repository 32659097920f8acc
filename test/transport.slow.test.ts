import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { PassThrough, Readable } from 'node:stream';

import test from 'ava';

import { openAgents } from '../src/http/agents.ts';
import { parseRoutes } from '../src/http/connect.ts';
import { undiciTransport } from '../src/http/transport/undici.ts';
import { checkTransport, type Transport, type TransportResponse } from '../src/transport.ts';
import { fetchTransport } from './helpers/fetch-transport.ts';
import { testOptions } from './helpers/http.ts';
import { readSurface } from './helpers/surface.ts';

const rulesOf = async (transport: Transport, timeoutMs: number): Promise<readonly string[]> =>
  (await checkTransport(transport, { timeoutMs })).map(({ rule }) => rule);

test("the built-in transport breaks none of the transports' rules", async (t) => {
  const timeouts = { connectMs: 60_000, headersMs: 60_000, stallMs: 60_000 };
  const agents = openAgents({ ...testOptions, timeouts }, parseRoutes(testOptions));
  t.teardown(() => agents.close());
  t.deepEqual(await checkTransport(undiciTransport(agents, timeouts), { pushes: true, timeoutMs: 60_000 }), []);
});

test("a transport on Node's own http breaks none of them", async (t) => {
  const transport: Transport = async ({ method, url, headers, content, body }, signal) => {
    const sent = httpRequest(url, { method, headers: { ...headers }, signal, agent: false });
    if (body) Readable.from(body.open()).pipe(sent.setHeader('content-length', body.bytes));
    else sent.end(content);
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    const lists = Object.entries(response.headersDistinct).map(([name, values = []]) => {
      const [first = '', ...more] = values;
      return [name, more.length === 0 ? first : values] as const;
    });
    return { status: response.statusCode ?? 0, headers: Object.fromEntries(lists), body: response };
  };
  t.deepEqual(await checkTransport(transport, { pushes: true, timeoutMs: 60_000 }), []);
  const fetchOnly: Transport = ({ method, url, headers, content = '' }, signal) =>
    transport({ method, url, headers, content }, signal);
  t.deepEqual(
    await checkTransport(fetchOnly, { timeoutMs: 60_000 }),
    [],
    'a transport that only fetches needs no bodies',
  );
  t.deepEqual(
    (await checkTransport(fetchOnly, { pushes: true })).map(({ rule }) => rule),
    ['the bodies of PUT and PATCH are sent as they are given'],
  );
});

test("Node's fetch joins repeated headers and decodes bodies: each is named", async (t) => {
  t.deepEqual(await rulesOf(fetchTransport, 60_000), [
    'the values of a repeated header are a list, in their order',
    'a body that is coded is not decoded',
  ]);
});

test('a transport that follows redirects, or takes no signal, is found out', async (t) => {
  const following: Transport = async ({ url, headers }) => {
    const { status, headers: fields, body } = await globalThis.fetch(url, { headers });
    const given = body as unknown as AsyncIterable<Uint8Array>;
    return { status, headers: Object.fromEntries(fields), body: given };
  };
  const broken = await rulesOf(following, 2_000);
  for (const part of ['method', 'redirect', 'aborted already', 'before the answer', 'within the body']) {
    t.true(
      broken.some((rule) => rule.includes(part)),
      part,
    );
  }
});

test('a transport that takes bodies which nobody reads is found out', async (t) => {
  const greedy: Transport = async ({ method, url, headers, content }, signal) => {
    const sent = httpRequest(url, { method, headers: { ...headers }, signal, agent: false });
    sent.end(content);
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    const body = response.pipe(new PassThrough({ highWaterMark: 1e9 }));
    response.on('error', (error) => body.destroy(error));
    return { status: response.statusCode ?? 0, headers: response.headers as TransportResponse['headers'], body };
  };
  const faults = await checkTransport(greedy, { timeoutMs: 60_000 });
  t.is(
    faults.find(({ rule }) => rule.includes('nobody reads'))?.problem,
    '67108864 bytes were taken while nobody read',
  );
});

test('the check can be cancelled, and says what it cannot use', async (t) => {
  const stop = new AbortController();
  const checking = checkTransport(
    (_, signal) => {
      setImmediate(() => stop.abort(new Error('enough')));
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    },
    { signal: stop.signal },
  );
  await t.throwsAsync(checking, { code: 'CANCELLED' });
  await t.throwsAsync(checkTransport('fetch' as unknown as Transport), { code: 'USAGE', message: /^transport: want/ });
  for (const timeoutMs of [0, -1, NaN, 2 ** 31, '1' as unknown as number]) {
    await t.throwsAsync(checkTransport(fetchTransport, { timeoutMs }), { code: 'USAGE', message: /^timeoutMs: want/ });
  }
});

test('longshore/transport exports the types of the seam and one check', (t) => {
  t.deepEqual(
    readSurface('src/transport.ts').map(({ name }) => name),
    [
      'HeaderFields',
      'RequestBody',
      'Transport',
      'TransportCheckOptions',
      'TransportFault',
      'TransportRequest',
      'TransportResponse',
      'checkTransport',
    ],
  );
});
