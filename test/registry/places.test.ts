import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseDigest } from '../../src/image/digest.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';
import type { RegistryClient } from '../../src/registry/client.ts';
import { downloadBlob } from '../../src/registry/download-blob.ts';
import { placesOf } from '../../src/registry/place.ts';
import { resolveImage } from '../../src/registry/resolve.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { refusal, startRegistry, type TestRegistry } from '../helpers/registry.ts';
import { basic, openTestClient } from '../helpers/registry-client.ts';

const signal = AbortSignal.timeout(600_000);
const platform = { os: 'linux', architecture: 'amd64' };
const resolve = (client: RegistryClient, name: string) =>
  resolveImage(client, parseRegistryReference(`docker://${name}`), { platform }, signal);
const origins = (host: string, allowHttp = false) =>
  placesOf({ host, repository: 'app', namedBy: 'tag' }, { allowHttp }).places.flatMap((place) => place.origins);
const mirrored = (host: string, mirror: TestRegistry, more: object = {}) => ({
  mirrors: [{ prefix: host, mirrors: [{ origin: mirror.url, resolves: true, ...more }] }],
});
const paths = ({ requests }: TestRegistry) => requests.map(({ url }) => url);

test('a registry is asked over https, and over http only if that is allowed or it is on this machine', (t) => {
  t.deepEqual(origins('docker.io'), ['https://registry-1.docker.io']);
  t.deepEqual(origins('quay.io:8443'), ['https://quay.io:8443']);
  t.deepEqual(origins('10.0.0.1:5000'), ['https://10.0.0.1:5000']);
  t.deepEqual(origins('10.0.0.1:5000', true), ['https://10.0.0.1:5000', 'http://10.0.0.1:5000']);
  for (const host of ['localhost', 'localhost:5000', '127.0.0.1:5000', '127.9.9.9', '[::1]:5000']) {
    t.deepEqual(origins(host), [`https://${host}`, `http://${host}`]);
  }
  for (const host of ['127.0.0.1.example.com', 'localhost.example.com', '[::2]', '128.0.0.1']) {
    t.deepEqual(origins(host), [`https://${host}`]);
  }
});

test('a registry that speaks https is not asked over http, whatever it answers', async (t) => {
  const registry = await startRegistry(t, { https: true });
  registry.putImage('app', '1');
  const client = openTestClient(t, { allowHttp: true, http: { ca: [registry.ca] } });
  await t.notThrowsAsync(resolve(client, `${registry.host}/app:1`));

  const strict = openTestClient(t, { allowHttp: true });
  const error = await t.throwsAsync(resolve(strict, `${registry.host}/app:1`));
  t.true(hasCode(error, 'TLS'), 'an unknown certificate stays the reason');
  const insecure = openTestClient(t, { http: { insecureTls: true } });
  await t.notThrowsAsync(resolve(insecure, `${registry.host}/app:1`));
});

test('a registry that speaks https and is busy is asked again, also where http is allowed', async (t) => {
  for (const status of [429, 503]) {
    let asked = 0;
    const guard = () => ((asked += 1) <= 2 ? { status, headers: { 'retry-after': '0' } } : undefined);
    const registry = await startRegistry(t, { https: true, guard });
    registry.putImage('app', '1');
    const client = openTestClient(t, { allowHttp: true, http: { ca: [registry.ca], retries: 4 } });
    await t.notThrowsAsync(resolve(client, `${registry.host}/app:1`));
  }
  const registry = await startRegistry(t, {
    https: true,
    guard: () => ({ status: 429, headers: { 'retry-after': '3600' } }),
  });
  const client = openTestClient(t, { allowHttp: true, http: { ca: [registry.ca], retries: 4 } });
  t.true(hasCode(await t.throwsAsync(resolve(client, `${registry.host}/app:1`)), 'RATE_LIMITED'));
  t.is(registry.requests.length, 1);
});

test('an http server that is not a registry is not used', async (t) => {
  const registry = await startRegistry(t, { guard: () => ({ status: 400 }) });
  t.false(hasCode(await t.throwsAsync(resolve(openTestClient(t), `${registry.host}/app:1`)), 'HTTP_STATUS'));
  t.deepEqual(paths(registry), ['/v2/']);
});

test('an http server that redirects to https is not used over http', async (t) => {
  const secure = await startRegistry(t, { https: true });
  const plain = await startRegistry(t, { guard: () => ({ status: 301, headers: { location: `${secure.url}/v2/` } }) });
  const client = openTestClient(t, { http: { ca: [secure.ca] } });
  t.false(hasCode(await t.throwsAsync(resolve(client, `${plain.host}/app:1`)), 'REDIRECT_REFUSED'));
  t.deepEqual([plain.requests.length, secure.requests.length], [1, 0]);
});

test('a registry may redirect /v2/ to another path of its host', async (t) => {
  const registry = await startRegistry(t);
  registry.putImage('app', '1');
  registry.routes['/v2/'] = { status: 307, headers: { location: '/gateway/v2/' } };
  registry.routes['/gateway/v2/'] = { body: '{}' };
  await t.notThrowsAsync(resolve(openTestClient(t), `${registry.host}/app:1`));
  t.deepEqual(paths(registry), ['/v2/', '/gateway/v2/', '/v2/app/manifests/1']);
});

test('a challenge after a redirect to the same host is answered', async (t) => {
  const registry = await startRegistry(t, {
    guard: ({ url, headers }) =>
      url === '/v2/' || headers.authorization !== undefined
        ? undefined
        : refusal(401, 'U', 'u', { 'www-authenticate': 'Basic realm=x' }),
  });
  registry.putImage('app', '1');
  registry.routes['/v2/'] = { status: 307, headers: { location: '/gateway/v2/' } };
  registry.routes['/gateway/v2/'] = refusal(401, 'U', 'u', { 'www-authenticate': 'Basic realm=x' });
  const client = openTestClient(t, { credentials: () => Promise.resolve(basic()) });
  await t.notThrowsAsync(resolve(client, `${registry.host}/app:1`));
});

test('a registry that answers 404 at /v2/ is used', async (t) => {
  const registry = await startRegistry(t, {
    https: true,
    guard: ({ url }) => (url === '/v2/' ? { status: 404 } : undefined),
  });
  registry.putImage('app', '1');
  await t.notThrowsAsync(resolve(openTestClient(t, { http: { ca: [registry.ca] } }), `${registry.host}/app:1`));
});

test('an unreachable registry fails all its images, and later ones try to connect again', async (t) => {
  const registry = await startRegistry(t);
  registry.putImage('app', '1');
  const entrance = registry.routes['/v2/'] ?? {};
  registry.routes['/v2/'] = { status: 503 };
  const client = openTestClient(t, { http: { retries: 1 } });
  const both = [1, 2].map(() => t.throwsAsync(resolve(client, `${registry.host}/app:1`)));
  for (const error of await Promise.all(both)) t.like(error, { code: 'HTTP_STATUS', details: { status: 503 } });
  t.is(registry.requests.length, 2);
  registry.routes['/v2/'] = entrance;
  await t.notThrowsAsync(resolve(client, `${registry.host}/app:1`));
});

test('a blocked registry is not asked', async (t) => {
  const registry = await startRegistry(t);
  const client = openTestClient(t, { mirrors: [{ prefix: registry.host, blocked: true, mirrors: [] }] });
  const error = await t.throwsAsync(resolve(client, `${registry.host}/app:1`));
  t.true(hasCode(error, 'INSECURE_REFUSED'));
  t.is(registry.requests.length, 0);
});

test('a mirror is asked first, under its prefix, with the name of the registry and its own credentials', async (t) => {
  const mirror = await startRegistry(t, {
    guard: ({ headers }) =>
      headers.authorization === undefined ? refusal(401, 'U', 'u', { 'www-authenticate': 'Basic realm=x' }) : undefined,
  });
  const image = mirror.putImage('proxy/hub/library/busybox', '1');
  const asked: string[] = [];
  const client = openTestClient(t, {
    ...mirrored('docker.io', mirror, { prefix: 'proxy/hub' }),
    credentials: (host, repository) => {
      asked.push(`${host} ${repository}`);
      return Promise.resolve(basic());
    },
  });
  const { layers } = await resolve(client, 'busybox:1');
  const [layer] = image.manifest.layers;
  const blob = { digest: parseDigest(layer?.digest ?? ''), size: layers[0]?.size ?? 0 };
  const repository = { host: 'docker.io', repository: 'library/busybox' };
  await downloadBlob(client, { repository, blob, sink: memorySink() }, signal);
  t.deepEqual([...new Set(asked)], [`${mirror.host} proxy/hub/library/busybox`]);
  t.deepEqual(paths(mirror), [
    '/v2/',
    '/v2/proxy/hub/library/busybox/manifests/1?ns=docker.io',
    `/v2/proxy/hub/library/busybox/blobs/${blob.digest}?ns=docker.io`,
  ]);
});

test('content that a mirror lacks, refuses or falsifies is requested from the registry', async (t) => {
  const registry = await startRegistry(t);
  const { digest } = registry.putImage('app', '1');
  const mirror = await startRegistry(t);
  const path = `/v2/app/manifests/${digest}`;
  const lies = [{ status: 404 }, { status: 403 }, { body: 'x' }, { status: 200, body: Buffer.alloc(5_000_000) }];
  for (const lie of lies) {
    mirror.routes[path] = lie;
    const client = openTestClient(t, mirrored(registry.host, mirror));
    t.is((await resolve(client, `${registry.host}/app@${digest}`)).digest, digest as never);
  }
  t.is(paths(mirror).filter((url) => url.startsWith(path)).length, lies.length);
});

test('a mirror that may not resolve tags is asked for digests only, and not again after bad bytes', async (t) => {
  const registry = await startRegistry(t);
  const image = registry.putImage('app', '1');
  const mirror = await startRegistry(t);
  mirror.putImage('app', '1', { layers: ['older'] });
  const client = openTestClient(t, mirrored(registry.host, mirror, { resolves: false }));
  t.is((await resolve(client, `${registry.host}/app:1`)).digest, image.digest as never);
  t.is(mirror.requests.length, 0);
  const [layer = image] = image.manifest.layers;
  const blob = { digest: parseDigest(layer.digest), size: layer.size };
  const repository = { host: registry.host, repository: 'app' };
  await downloadBlob(client, { repository, blob, sink: memorySink(), excludedMirrors: new Set([mirror.host]) }, signal);
  t.is(mirror.requests.length, 0);
  await downloadBlob(client, { repository, blob, sink: memorySink() }, signal);
  t.true(paths(mirror).includes(`/v2/app/blobs/${blob.digest}?ns=${encodeURIComponent(registry.host)}`));
});
