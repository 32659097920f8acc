import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseDigest } from '../../src/image/digest.ts';
import { downloadBlob } from '../../src/registry/download-blob.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { refusal, startRegistry, type TestDescriptor, type TestRegistry } from '../helpers/registry.ts';
import { basic, openTestClient } from '../helpers/registry-client.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const bytes = randomBytes(300_000);

function request({ host }: TestRegistry, { digest, size }: TestDescriptor, left: Uint8Array = Buffer.alloc(0)) {
  const sink = memorySink({ bytes: left });
  return { repository: { host, repository: 'app' }, blob: { digest: parseDigest(digest), size }, sink };
}

test('a blob is downloaded whole, and its existing bytes are not requested again', async (t) => {
  const registry = await startRegistry(t);
  const blob = registry.putBlob('app', bytes);
  const client = openTestClient(t);
  const whole = request(registry, blob);
  t.like(await downloadBlob(client, whole, signal), {
    kind: 'complete',
    bytes: bytes.length,
    transferred: bytes.length,
  });
  t.true(whole.sink.content().equals(bytes));

  const rest = request(registry, blob, bytes.subarray(0, 100_000));
  t.like(await downloadBlob(client, rest, signal), { transferred: 200_000 });
  t.true(rest.sink.content().equals(bytes));
  t.like(registry.requests.at(-1)?.headers, { range: 'bytes=100000-', 'if-range': undefined });

  const all = request(registry, blob, bytes);
  t.like(await downloadBlob(client, all, signal), { transferred: 0, bytes: bytes.length });
});

test('a blob that is cut is resumed', async (t) => {
  const registry = await startRegistry(t);
  const blob = registry.putBlob('app', bytes);
  const path = `/v2/app/blobs/${blob.digest}`;
  registry.routes[path] = { body: bytes, cutAfter: 70_000 };
  const asked = request(registry, blob);
  await downloadBlob(openTestClient(t), asked, signal);
  t.true(asked.sink.content().equals(bytes));
  t.true(registry.requests.filter(({ url }) => url === path).length > 3);
});

test('a token that expires during a download is replaced, and the download is resumed', async (t) => {
  let valid = 1;
  const registry = await startRegistry(t, {
    guard: ({ headers }) =>
      headers.authorization === `Bearer ${valid}`
        ? undefined
        : refusal(401, 'UNAUTHORIZED', 'expired', { 'www-authenticate': 'Bearer realm="/token"' }),
  });
  registry.routes['/token'] = { handler: (_, response) => void response.end(`{"token":"${valid}"}`) };
  const blob = registry.putBlob('app', bytes);
  registry.routes[`/v2/app/blobs/${blob.digest}`] = {
    handler: ({ headers }, response) => {
      const from = Number(/\d+/.exec(headers.range ?? '')?.[0] ?? 0);
      valid += 1; // what was good for this request is not for the next
      sendCut(response, from);
    },
  };
  const asked = request(registry, blob);
  await downloadBlob(openTestClient(t), asked, signal);
  t.true(asked.sink.content().equals(bytes));
  t.is(registry.requests.filter(({ url }) => url.startsWith('/token')).length, 3);
});

test('a registry that requires a new token after each byte is a failure', async (t) => {
  let valid = 1;
  const registry = await startRegistry(t, {
    guard: ({ headers }) =>
      headers.authorization === `Bearer ${valid}`
        ? undefined
        : refusal(401, 'UNAUTHORIZED', 'expired', { 'www-authenticate': 'Bearer realm="/token"' }),
  });
  registry.routes['/token'] = { handler: (_, response) => void response.end(`{"token":"${valid}"}`) };
  const blob = registry.putBlob('app', bytes);
  const path = `/v2/app/blobs/${blob.digest}`;
  registry.routes[path] = {
    handler: ({ headers }, response) => {
      const from = Number(/\d+/.exec(headers.range ?? '')?.[0] ?? 0);
      valid += 1;
      sendCut(response, from, 1);
    },
  };
  const asked = request(registry, blob);
  t.true(hasCode(await t.throwsAsync(downloadBlob(openTestClient(t), asked, signal)), 'AUTH_REQUIRED'));
  t.true(asked.sink.bytes <= 2);
});

function sendCut(response: ServerResponse, from: number, count = 100_000): void {
  const to = Math.min(from + count, bytes.length);
  const range = { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
  response.writeHead(from === 0 ? 200 : 206, { 'content-length': bytes.length - from, ...(from > 0 && range) });
  response.write(bytes.subarray(from, to), () => (to === bytes.length ? response.end() : response.destroy()));
}

test('a blob on another host is downloaded by a redirect, without any credentials', async (t) => {
  const userSecret = `Basic ${Buffer.from('user:secret').toString('base64')}`;
  const registry = await startRegistry(t, {
    guard: ({ headers }) =>
      headers.authorization === userSecret
        ? undefined
        : refusal(401, 'U', 'u', { 'www-authenticate': 'Basic realm=x' }),
  });
  const blob = registry.putBlob('app', bytes);
  const storage = await startServer(t, { '/blob': { body: bytes } });
  registry.routes[`/v2/app/blobs/${blob.digest}`] = {
    status: 307,
    headers: { location: `${storage.url}/blob?sign=x` },
  };
  const client = openTestClient(t, { credentials: () => Promise.resolve(basic()) });
  const asked = request(registry, blob);
  await downloadBlob(client, asked, signal);
  t.true(asked.sink.content().equals(bytes));
  t.is(storage.requests[0]?.headers.authorization, undefined);

  storage.routes['/blob'] = { status: 403 };
  const error = await t.throwsAsync(downloadBlob(client, request(registry, blob), signal));
  t.like(error, { code: 'HTTP_STATUS', details: { status: 403 } }, 'it is not the registry that refuses');
});

test('a blob of another size is refused, and an endless one is read no further than its size', async (t) => {
  const registry = await startRegistry(t);
  const blob = registry.putBlob('app', bytes);
  const path = `/v2/app/blobs/${blob.digest}`;
  const client = openTestClient(t);
  for (const route of [{ body: bytes.subarray(1) }, { body: Buffer.concat([bytes, bytes]) }]) {
    registry.routes[path] = route;
    t.true(hasCode(await t.throwsAsync(downloadBlob(client, request(registry, blob), signal)), 'SIZE_MISMATCH'));
  }
  registry.routes[path] = { body: Buffer.alloc(30_000_000), chunked: true };
  const asked = request(registry, blob);
  t.true(hasCode(await t.throwsAsync(downloadBlob(client, asked, signal)), 'SIZE_MISMATCH'));
  t.true(asked.sink.bytes <= bytes.length);
});

test('an aborted download ends at once', async (t) => {
  const registry = await startRegistry(t);
  const blob = registry.putBlob('app', bytes);
  registry.routes[`/v2/app/blobs/${blob.digest}`] = { body: bytes, rate: 1000 };
  const stop = new AbortController();
  const asked = { ...request(registry, blob), onStart: () => stop.abort(new Error('enough')) };
  await t.throwsAsync(downloadBlob(openTestClient(t), asked, stop.signal), { message: 'enough' });
});

test('the error for a blob on another host that refuses it names that host and its explanation', async (t) => {
  const bucket = await startServer(t, {
    '/key': {
      status: 403,
      body: '<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>',
      headers: { 'content-type': 'application/xml' },
    },
  });
  const registry = await startRegistry(t);
  const blob = registry.putBlob('app', 'x');
  const path = `/v2/app/blobs/${blob.digest}`;
  registry.routes[path] = { status: 307, headers: { location: `${bucket.url}/key?X-Amz-Signature=abc` } };
  const error = await t.throwsAsync(downloadBlob(openTestClient(t), request(registry, blob), signal));
  const { host } = new URL(bucket.url);
  t.is(error?.message, `${host}, to which ${registry.host} leads, answered 403: Request has expired`);
  t.like(error, { code: 'HTTP_STATUS', details: { redirectedFrom: registry.host, takesNoCredentials: true } });
});
