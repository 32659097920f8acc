import { gzipSync } from 'node:zlib';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';
import type { RegistryClient } from '../../src/registry/client.ts';
import { currentDigest, getConfig } from '../../src/registry/documents.ts';
import { parseRegistryConfig } from '../../src/registry/manifest.ts';
import { resolveImage } from '../../src/registry/resolve.ts';
import { refusal, startRegistry, type TestDescriptor, type TestRegistry, types } from '../helpers/registry.ts';
import { openTestClient } from '../helpers/registry-client.ts';

const signal = AbortSignal.timeout(600_000);
const platform = { os: 'linux', architecture: 'amd64' };
const resolve = (client: RegistryClient, { host }: TestRegistry, name: string) =>
  resolveImage(client, parseRegistryReference(`docker://${host}/${name}`), { platform }, signal);
const manifests = ({ requests }: TestRegistry) => requests.filter(({ url }) => url.includes('/manifests/'));

test('a tag is resolved to its manifest, whose configuration can be requested', async (t) => {
  const registry = await startRegistry(t);
  const { digest, manifest } = registry.putImage('team/app', '1', { layers: ['a', 'b'] });
  const client = openTestClient(t);
  const image = await resolve(client, registry, 'team/app:1');
  t.is(image.digest, digest as never);
  t.deepEqual(image.indexes, []);
  t.deepEqual(JSON.parse(Buffer.from(image.manifest.bytes).toString()), manifest);
  t.deepEqual(
    image.layers.map((layer) => layer.digest as string),
    manifest.layers.map((layer) => layer.digest),
  );
  const config = await getConfig(
    client,
    { host: registry.host, repository: 'team/app' },
    image.config,
    undefined,
    signal,
  );
  t.deepEqual(parseRegistryConfig(config.bytes, image.layers.length).platform, platform);
  t.regex(
    manifests(registry)[0]?.headers.accept ?? '',
    /oci\.image\.index.*manifest\.list.*oci\.image\.manifest.*manifest\.v2/,
  );
});

test('an index is resolved to the manifest of the platform, and is returned too', async (t) => {
  const registry = await startRegistry(t);
  const arm = {
    ...registry.putImage('app', undefined, { architecture: 'arm64' }),
    platform: { os: 'linux', architecture: 'arm64' },
  };
  const amd = { ...registry.putImage('app', undefined), platform };
  const inner = registry.putManifest('app', undefined, { schemaVersion: 2, manifests: [arm, amd] }, types.index);
  const outer = registry.putManifest('app', '1', { schemaVersion: 2, manifests: [inner] }, types.index);
  const image = await resolve(openTestClient(t), registry, 'app:1');
  t.is(image.manifest.digest, amd.digest as never);
  t.is(image.digest, outer.digest as never);
  t.deepEqual(
    image.indexes.map((index) => index.digest as string),
    [outer.digest, inner.digest],
  );
});

test('a reference with a digest is resolved by it, whatever the tag, and the content must match it', async (t) => {
  const registry = await startRegistry(t);
  const first = registry.putImage('app', '1', { layers: ['first'] });
  const second = registry.putImage('app', '1', { layers: ['second'] });
  const client = openTestClient(t);
  t.is((await resolve(client, registry, `app:1@${first.digest}`)).digest, first.digest as never);
  registry.routes[`/v2/app/manifests/${first.digest}`] = registry.routes[`/v2/app/manifests/${second.digest}`] ?? {};
  const error = await t.throwsAsync(resolve(client, registry, `app@${first.digest}`));
  t.like(error, { code: 'DIGEST_MISMATCH', details: { asked: first.digest, found: second.digest } });
});

test('a manifest named by an index is checked for digest, size and type, and read no further than its size', async (t) => {
  const registry = await startRegistry(t);
  const image = registry.putImage('app', undefined);
  const path = `/v2/app/manifests/${image.digest}`;
  const good = registry.routes[path] ?? {};
  const index = (entry: object) =>
    registry.putManifest('app', '1', { schemaVersion: 2, manifests: [{ ...image, ...entry }] }, types.index);
  const failure = async () => t.throwsAsync(resolve(openTestClient(t), registry, 'app:1'));

  index({ size: image.size - 1 });
  t.like(await failure(), { code: 'SIZE_MISMATCH', details: { asked: image.size - 1 } });
  index({ size: image.size + 1 });
  t.like(await failure(), { code: 'SIZE_MISMATCH', details: { asked: image.size + 1, found: image.size } });
  index({ mediaType: types.dockerManifest });
  t.true(hasCode(await failure(), 'MANIFEST_INVALID'));
  index({});
  registry.routes[path] = { ...good, body: `${String(good.body).slice(0, -1)} ` };
  t.true(hasCode(await failure(), 'DIGEST_MISMATCH'));
  registry.routes[path] = { ...good, body: Buffer.alloc(50_000_000), chunked: true };
  t.true(hasCode(await failure(), 'SIZE_MISMATCH'));
  registry.routes[path] = { ...good, headers: { 'content-type': types.index } };
  t.true(hasCode(await failure(), 'MANIFEST_INVALID'));
});

test('no request is made with an invalid digest', async (t) => {
  const registry = await startRegistry(t);
  const image = registry.putImage('app', undefined);
  const digest = 'sha256:../../../../etc/passwd';
  registry.putManifest('app', '1', { schemaVersion: 2, manifests: [{ ...image, digest }] }, types.index);
  registry.putManifest('app', '2', { ...image.manifest, layers: [{ ...image.manifest.layers[0], digest }] });
  for (const tag of ['1', '2']) {
    const error = await t.throwsAsync(resolve(openTestClient(t), registry, `app:${tag}`));
    t.true(hasCode(error, 'MANIFEST_INVALID'));
  }
  t.is(manifests(registry).length, 2);
});

test('thirty nested indexes are refused at the fourth', async (t) => {
  const registry = await startRegistry(t);
  let inner = registry.putImage('app', undefined) as TestDescriptor;
  for (let depth = 0; depth < 30; depth += 1) {
    const manifests = [{ ...inner, platform }];
    inner = registry.putManifest(
      'app',
      depth === 29 ? 'deep' : `d${depth}`,
      { schemaVersion: 2, manifests },
      types.index,
    );
  }
  const client = openTestClient(t);
  const error = await t.throwsAsync(resolve(client, registry, 'app:deep'));
  t.like(error, { code: 'LIMIT_EXCEEDED', details: { limit: 'indexDepth', maximum: 3 } });
  t.is(manifests(registry).length, 4);
  t.is((await resolve(client, registry, 'app:d2')).indexes.length, 3);
});

test('a huge manifest and a huge configuration are not read, and not requested if their size is known', async (t) => {
  const registry = await startRegistry(t);
  registry.routes['/v2/app/manifests/1'] = { body: Buffer.alloc(5 * 1024 * 1024), chunked: true };
  const client = openTestClient(t);
  const error = await t.throwsAsync(resolve(client, registry, 'app:1'));
  t.like(error, { code: 'LIMIT_EXCEEDED', details: { limit: 'registryManifest' } });

  const image = registry.putImage('app', '2');
  registry.putManifest('app', '2', { ...image.manifest, config: { ...image.manifest.config, size: 5_000_000 } });
  const { config } = await resolve(client, registry, 'app:2');
  const before = registry.requests.length;
  const refused = await t.throwsAsync(
    getConfig(client, { host: registry.host, repository: 'app' }, config, undefined, signal),
  );
  t.like(refused, { code: 'LIMIT_EXCEEDED', details: { limit: 'registryConfig' } });
  t.is(registry.requests.length, before);
});

test('a configuration with another digest is refused', async (t) => {
  const registry = await startRegistry(t);
  const { manifest } = registry.putImage('app', '1');
  const client = openTestClient(t);
  const { config } = await resolve(client, registry, 'app:1');
  registry.routes[`/v2/app/blobs/${manifest.config.digest}`] = { body: 'x'.repeat(manifest.config.size) };
  const brought = getConfig(client, { host: registry.host, repository: 'app' }, config, undefined, signal);
  t.true(hasCode(await t.throwsAsync(brought), 'DIGEST_MISMATCH'));
});

test('the digest of a tag is read without a pull, unless the registry does not send it', async (t) => {
  const registry = await startRegistry(t);
  const { digest } = registry.putImage('app', '1');
  const client = openTestClient(t);
  const where = { host: registry.host, repository: 'app' };
  t.is(await currentDigest(client, where, '1', undefined, signal), digest as never);
  t.deepEqual(
    manifests(registry).map(({ method }) => method),
    ['HEAD'],
  );
  const route = registry.routes['/v2/app/manifests/1'] ?? {};
  registry.routes['/v2/app/manifests/1'] = { ...route, headers: { 'content-type': types.manifest } };
  t.is(await currentDigest(client, where, '1', undefined, signal), digest as never);
  registry.routes['HEAD /v2/app/manifests/1'] = { status: 405 };
  t.is(await currentDigest(client, where, '1', undefined, signal), digest as never);
  t.deepEqual(
    manifests(registry).map(({ method }) => method),
    ['HEAD', 'HEAD', 'GET', 'HEAD', 'GET'],
  );
});

test('a wrong digest header for a tag is a warning; the digest of the bytes is used', async (t) => {
  const registry = await startRegistry(t);
  const { digest } = registry.putImage('app', '1');
  const route = registry.routes['/v2/app/manifests/1'] ?? {};
  const headers = { 'content-type': types.manifest, 'docker-content-digest': `sha256:${'0'.repeat(64)}` };
  registry.routes['/v2/app/manifests/1'] = { ...route, headers };
  const client = openTestClient(t);
  t.is((await resolve(client, registry, 'app:1')).digest, digest as never);
  t.is(client.warnings.length, 1);
});

test('the explanation of a refusal is shown, escaped and cut', async (t) => {
  const registry = await startRegistry(t);
  const client = openTestClient(t);
  const error = await t.throwsAsync(resolve(client, registry, 'app:1'));
  t.like(error, { code: 'HTTP_STATUS', details: { status: 404 } });
  t.regex(error?.message ?? '', /404: MANIFEST_UNKNOWN: manifest unknown/);

  registry.routes['/v2/app/manifests/1'] = refusal(400, 'X\u001b[2J', 'y'.repeat(10_000));
  const shown = (await t.throwsAsync(resolve(client, registry, 'app:1')))?.message ?? '';
  t.regex(shown, /400: X\\x1b\[2J: yyy/);
  t.true(shown.length < 300);

  registry.routes['/v2/app/manifests/1'] = { status: 404, body: '<html>'.repeat(1_000_000), chunked: true };
  t.is((await t.throwsAsync(resolve(client, registry, 'app:1')))?.message, 'the server answered 404');
});

test('a registry that answers 429 is asked again, and its explanation is shown', async (t) => {
  let times = 0;
  const registry = await startRegistry(t, {
    guard: ({ url }) =>
      url?.includes('/manifests/') && (times += 1) < 3
        ? refusal(429, 'TOOMANYREQUESTS', 'log in to pull more', { 'retry-after': '1' })
        : undefined,
  });
  registry.putImage('app', '1');
  await t.notThrowsAsync(resolve(openTestClient(t), registry, 'app:1'));
  t.is(times, 3);
  times = -100;
  const error = await t.throwsAsync(resolve(openTestClient(t), registry, 'app:1'));
  t.true(hasCode(error, 'RATE_LIMITED'));
  t.regex(String(error?.cause), /log in to pull more/);
});

test('each warning is shown once', async (t) => {
  const registry = await startRegistry(t);
  registry.putImage('app', '1');
  const route = registry.routes['/v2/app/manifests/1'] ?? {};
  const warning = '299 - "this is \\"old\\""';
  registry.routes['/v2/app/manifests/1'] = { ...route, headers: { 'content-type': types.manifest, warning } };
  const client = openTestClient(t);
  await resolve(client, registry, 'app:1');
  await resolve(client, registry, 'app:1');
  t.deepEqual(client.warnings, [`${registry.host} says: this is "old"`]);
});

for (const status of [400, 403, 404, 405, 501]) {
  test(`a registry that answers HEAD with ${status} is asked with GET`, async (t) => {
    const registry = await startRegistry(t);
    const { digest } = registry.putImage('app', '1');
    registry.routes['HEAD /v2/app/manifests/1'] = { status };
    const where = { host: registry.host, repository: 'app' };
    t.is(await currentDigest(openTestClient(t), where, '1', undefined, signal), digest as never);
    t.deepEqual(
      manifests(registry).map(({ method }) => method),
      ['HEAD', 'GET'],
    );
  });
}

for (const status of [401, 429]) {
  test(`a registry that answers HEAD with ${status} means it`, async (t) => {
    const registry = await startRegistry(t);
    registry.putImage('app', '1');
    registry.routes['HEAD /v2/app/manifests/1'] = { status };
    const where = { host: registry.host, repository: 'app' };
    const client = openTestClient(t, { http: { retries: 0 } });
    await t.throwsAsync(currentDigest(client, where, '1', undefined, signal));
    t.true(manifests(registry).every(({ method }) => method === 'HEAD'));
  });
}

test('a manifest coded with gzip is decoded, and its digest is that of the decoded bytes', async (t) => {
  const registry = await startRegistry(t);
  const { digest, manifest } = registry.putImage('app', '1');
  const headers = { 'content-type': types.manifest, 'content-encoding': 'gzip' };
  const coded = { body: gzipSync(JSON.stringify(manifest)), headers };
  for (const name of ['1', digest]) registry.routes[`/v2/app/manifests/${name}`] = coded;
  for (const name of ['app:1', `app@${digest}`]) {
    const image = await resolve(openTestClient(t), registry, name);
    t.is(image.manifest.digest, digest as never);
    t.is(Buffer.from(image.manifest.bytes).toString(), JSON.stringify(manifest));
  }
  registry.routes['/v2/app/manifests/1'] = { ...coded, body: gzipSync(Buffer.alloc(5_000_000)) };
  const large = await t.throwsAsync(resolve(openTestClient(t), registry, 'app:1'));
  t.like(large, { code: 'LIMIT_EXCEEDED', details: { limit: 'registryManifest' } });
});
