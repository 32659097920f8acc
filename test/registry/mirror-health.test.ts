import { randomBytes } from 'node:crypto';

import test from 'ava';

import { parseDigest } from '../../src/image/digest.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';
import type { RegistryClient } from '../../src/registry/client.ts';
import { downloadBlob } from '../../src/registry/download-blob.ts';
import { resolveImage } from '../../src/registry/resolve.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { startRegistry } from '../helpers/registry.ts';
import { openTestClient } from '../helpers/registry-client.ts';

const signal = AbortSignal.timeout(600_000);
const platform = { os: 'linux', architecture: 'amd64' };
const resolve = (client: RegistryClient, name: string) =>
  resolveImage(client, parseRegistryReference(`docker://${name}`), { platform }, signal);
const mirrored = (host: string, ...urls: readonly string[]) => ({
  mirrors: [{ prefix: host, mirrors: urls.map((origin) => ({ origin, resolves: true })) }],
});

test('a mirror that fails three times is not asked for a minute, with one warning', async (t) => {
  const registry = await startRegistry(t);
  registry.putImage('app', '1');
  const mirror = await startRegistry(t);
  mirror.putImage('app', '1');
  const entrance = mirror.routes['/v2/'] ?? {};
  mirror.routes['/v2/'] = { status: 503 };
  let now = 0;
  const client = openTestClient(t, { ...mirrored(registry.host, mirror.url), nowMs: () => (now += 1) });
  for (let image = 0; image < 6; image += 1) await resolve(client, `${registry.host}/app:1`);
  t.is(mirror.requests.length, 3, 'each time once, without the usual tries');
  t.deepEqual(client.warnings.length, 1);
  t.regex(client.warnings[0] ?? '', new RegExp(`the mirror ${mirror.host} is not asked for a while`));

  now += 61_000;
  for (let image = 0; image < 3; image += 1) await resolve(client, `${registry.host}/app:1`);
  t.is(mirror.requests.length, 4, 'one of them asks whether it is back');

  now += 61_000;
  mirror.routes['/v2/'] = entrance;
  const before = registry.requests.length;
  for (let image = 0; image < 3; image += 1) await resolve(client, `${registry.host}/app:1`);
  t.is(registry.requests.length, before, 'and once it is, it serves again');
  t.is(client.warnings.length, 1);
});

test('a missing document is not a failure of the mirror', async (t) => {
  const registry = await startRegistry(t);
  registry.putImage('app', '1');
  const mirror = await startRegistry(t);
  const client = openTestClient(t, mirrored(registry.host, mirror.url));
  for (let image = 0; image < 5; image += 1) await resolve(client, `${registry.host}/app:1`);
  t.is(mirror.requests.filter(({ url }) => url.includes('/manifests/')).length, 5);
  t.deepEqual(client.warnings, []);
});

test('if a mirror does not answer within a few seconds, the next one is asked', async (t) => {
  const registry = await startRegistry(t);
  const image = registry.putImage('app', '1');
  const silent = await startRawServer(t, () => undefined);
  const long = { connectMs: 90_000, headersMs: 90_000, stallMs: 90_000 };
  const client = openTestClient(t, { ...mirrored(registry.host, silent.url), http: { timeouts: long } });
  const { digest } = await resolve(client, `${registry.host}/app:1`);
  t.is(digest, image.digest as never);
  t.is(silent.requests.length, 1);
});

test('a blob that breaks off at one mirror is resumed at the next one', async (t) => {
  const bytes = randomBytes(300_000);
  const registry = await startRegistry(t);
  const blob = registry.putBlob('app', bytes);
  const mirror = await startRegistry(t);
  mirror.putBlob('app', bytes);
  const path = `/v2/app/blobs/${blob.digest}`;
  mirror.routes[path] = { body: bytes, cutAfter: 100_000 };
  const client = openTestClient(t, mirrored(registry.host, mirror.url));
  const sink = memorySink();
  const about = { digest: parseDigest(blob.digest), size: blob.size };
  await downloadBlob(client, { repository: { host: registry.host, repository: 'app' }, blob: about, sink }, signal);
  t.true(sink.content().equals(bytes));
  t.is(registry.requests.at(-1)?.headers.range, 'bytes=100000-');
});
