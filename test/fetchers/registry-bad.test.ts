import type { IncomingMessage } from 'node:http';

import test, { type ExecutionContext } from 'ava';

import { adviceFor } from '../../src/cli/output/advice.ts';
import type { BatchEvent } from '../../src/internal.ts';
import { codesOf } from '../helpers/fetching.ts';
import { describe, refusal, startRegistry, types } from '../helpers/registry.ts';
import { layerOf, openRegistryFetching, type RegistryFetching } from '../helpers/registry-fetching.ts';

/** An image `app:1`, of which something is not as it should be. */
async function putApp({ registry }: RegistryFetching) {
  const { manifest, digest } = registry.putImage('app', '1', { layers: [await layerOf({ a: '1' })] });
  const [layer = manifest.config] = manifest.layers;
  const path = (what: string) => `/v2/app/${what}`;
  return { digest, manifest, config: path(`blobs/${manifest.config.digest}`), layer: path(`blobs/${layer.digest}`) };
}

async function refusing(t: ExecutionContext, fetching: RegistryFetching, name = 'app:1') {
  const outcome = await fetching.fetch(fetching.reference(name));
  t.is(outcome.status, 'failed');
  t.false(/[\n\u001b]/.test(outcome.error?.message ?? ''), 'one line');
  t.deepEqual([await fetching.listed(), await fetching.kept(), await fetching.leftovers()], [[], [], []]);
  return outcome.error;
}

/** The layers are not answered until that is ended: whether some of them had come when it was refused would be chance. */
function silence(
  { registry }: RegistryFetching,
  { layers }: { readonly layers: readonly { readonly digest: string }[] },
) {
  const paths = layers.map(({ digest }) => `/v2/app/blobs/${digest}`);
  const routes = paths.map((path) => registry.routes[path] ?? {});
  for (const path of paths) registry.routes[path] = { handler: () => undefined };
  return () => paths.forEach((path, at) => (registry.routes[path] = routes[at] ?? {}));
}

test('a missing tag', async (t) => {
  const fetching = await openRegistryFetching(t);
  await putApp(fetching);
  const error = await refusing(t, fetching, 'app:2');
  t.like(error, { code: 'HTTP_STATUS', details: { status: 404 } });
  t.regex(error?.message ?? '', /MANIFEST_UNKNOWN/);
});

test('a platform that an index does not have, and one that is not that of a single image', async (t) => {
  const fetching = await openRegistryFetching(t);
  const { registry } = fetching;
  const image = registry.putImage('app', undefined, { architecture: 's390x' });
  const document = { schemaVersion: 2, manifests: [{ ...image, platform: { os: 'linux', architecture: 's390x' } }] };
  registry.putManifest('app', '1', document, types.index);
  const { manifest } = registry.putImage('app', '2', { architecture: 's390x' });
  silence(fetching, manifest);
  for (const name of ['app:1', 'app:2']) {
    const error = await refusing(t, fetching, name);
    t.like(error, { code: 'PLATFORM_MISSING', details: { wanted: 'linux/amd64', available: ['linux/s390x'] } });
  }
  t.true(fetching.asked(`GET /v2/app/blobs/${image.manifest.layers[0]?.digest ?? ''}`) <= 1, 'of the second only');
});

test('without a requested platform, a single image for another platform is fetched with a warning', async (t) => {
  const warnings: string[] = [];
  const fetching = await openRegistryFetching(t, {
    platform: [],
    onEvent: (event) => event.type === 'warning' && warnings.push(event.message),
  });
  fetching.registry.putImage('app', '1', { layers: [await layerOf({ a: '1' })], architecture: 's390x' });
  t.like(await fetching.fetch(fetching.reference('app:1')), { status: 'fetched', labels: { arch: 's390x' } });
  t.regex(warnings.join(), /only for linux\/s390x/);
  t.like(await fetching.fetch(fetching.reference('app:1')), { status: 'present' });
});

test('an image for a platform without a name in appc is refused before its layers are downloaded, or stored without conversion', async (t) => {
  const fetching = await openRegistryFetching(t, { platform: ['linux/riscv64'] });
  const { manifest } = fetching.registry.putImage('app', '1', { architecture: 'riscv64' });
  const speak = silence(fetching, manifest);
  const error = await refusing(t, fetching);
  speak();
  t.is(error?.code, 'PLATFORM_MISSING');
  t.regex(error?.message ?? '', /can be kept as it is/);
  t.regex(error ? adviceFor(error) : '', /--keep=oci/);
  const kept = await fetching.fetch(fetching.reference('app:1'), { keep: 'oci' });
  t.like(kept, { status: 'fetched', labels: { os: 'linux', arch: 'riscv64' } });
});

for (const what of ['config', 'layer'] as const) {
  test(`a ${what} that is not what its digest names`, async (t) => {
    const fetching = await openRegistryFetching(t);
    const app = await putApp(fetching);
    const route = fetching.registry.routes[app[what]];
    const body = Buffer.from(route?.body ?? '');
    body[0] = (body[0] ?? 0) ^ 1;
    fetching.registry.routes[app[what]] = { body };
    t.is((await refusing(t, fetching))?.code, 'DIGEST_MISMATCH');
    t.false((await fetching.blobs()).some((digest) => app[what].endsWith(digest)));
  });

  test(`a ${what} that is longer than announced`, async (t) => {
    const fetching = await openRegistryFetching(t);
    const app = await putApp(fetching);
    const body = Buffer.concat([Buffer.from(fetching.registry.routes[app[what]]?.body ?? ''), Buffer.alloc(1)]);
    fetching.registry.routes[app[what]] = { body, chunked: true };
    t.is((await refusing(t, fetching))?.code, 'SIZE_MISMATCH');
  });
}

for (const [what, size] of [
  ['a few', 7],
  ['more', 2049],
] as const) {
  test(`a layer that is there already and is to have ${what} bytes is refused as it is where it has to come`, async (t) => {
    const fetching = await openRegistryFetching(t);
    const { manifest } = await putApp(fetching);
    fetching.registry.putManifest('app', '2', { ...manifest, layers: [{ ...manifest.layers[0], size }] });
    for (const first of ['app:2', 'app:1']) {
      t.is((await fetching.fetch(fetching.reference('app:2'))).error?.code, 'SIZE_MISMATCH', `before ${first}`);
      t.is((await fetching.fetch(fetching.reference('app:1'))).error, undefined);
    }
    t.deepEqual(await fetching.kept(), [fetching.reference('app:1').slice('docker://'.length)]);
  });
}

test('a mirror with a blob of another digest is warned about by name, and the next one is asked', async (t) => {
  const [bad, good] = await Promise.all([startRegistry(t), startRegistry(t)]);
  const mirrors = [bad, good].map(({ url }) => ({ origin: url, resolves: true }));
  const fetching = await openRegistryFetching(t, { mirrors: [{ prefix: 'app.example', mirrors }] });
  const layers = [await layerOf({ a: '1' })];
  good.putImage('app', '1', { layers });
  const { manifest } = bad.putImage('app', '1', { layers });
  const paths = [manifest.config, ...manifest.layers].map(({ digest }) => `/v2/app/blobs/${digest}`);
  for (const path of paths) {
    const body = Buffer.from(bad.routes[path]?.body ?? '');
    body[0] = (body[0] ?? 0) ^ 1;
    bad.routes[path] = { body };
  }
  const warnings: string[] = [];
  const onEvent = (event: BatchEvent) => void (event.type === 'warning' && warnings.push(event.message));
  const outcome = await fetching.fetch('docker://app.example/app:1', { onEvent });
  t.is(outcome.error, undefined);
  for (const { requests } of [bad, good]) {
    t.deepEqual(
      requests
        .filter(({ url }) => url.includes('/blobs/'))
        .map(({ url }) => url.replace(/\?.*/, ''))
        .toSorted(),
      paths.toSorted(),
    );
  }
  const named = warnings.filter((message) => message.startsWith(`the mirror ${bad.host} has `));
  t.is(named.length, 2, warnings.join('\n'));
});

test('a manifest with another digest', async (t) => {
  const fetching = await openRegistryFetching(t);
  const { digest, manifest } = await putApp(fetching);
  fetching.registry.routes[`/v2/app/manifests/${digest}`] = {
    body: JSON.stringify({ ...manifest, annotations: {} }),
    headers: { 'content-type': types.manifest },
  };
  t.is((await refusing(t, fetching, `app@${digest}`))?.code, 'DIGEST_MISMATCH');
});

test('a layer with another diff ID, and one with a path outside of the image', async (t) => {
  const fetching = await openRegistryFetching(t);
  const { registry } = fetching;
  const layer = await layerOf({ a: '1' });
  const lie = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [describe('x', '').digest] } };
  const manifest = {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: registry.putBlob('app', JSON.stringify(lie), types.config),
    layers: [registry.putBlob('app', layer)],
  };
  registry.putManifest('app', '1', manifest);
  t.like(await refusing(t, fetching), { code: 'DIGEST_MISMATCH', details: { keep: 'oci' } });
  registry.putImage('app', '2', { layers: [await layerOf({ '../../etc/passwd': 'x' })] });
  const error = await refusing(t, fetching, 'app:2');
  t.like(error, { code: 'ARCHIVE_INVALID', details: { rule: 'R8' } });
});

test('an image that only the conversion refuses can be stored without it, and the error says so', async (t) => {
  const fetching = await openRegistryFetching(t, { limits: { path: 20 } });
  const { registry } = fetching;
  registry.putImage('app', 'ARCHIVE_INVALID', { layers: [await layerOf({ '../a': 'x' })] });
  registry.putImage('app', 'ARCHIVE_UNREADABLE', { layers: [Buffer.from('not a tar')] });
  registry.putImage('app', 'LIMIT_EXCEEDED', { layers: [await layerOf({ 'a-long-name-in-a-layer': 'x' })] });
  registry.putImage('app', 'MANIFEST_INVALID', { layers: [await layerOf({})], config: { Env: 'x' } });
  const codes = ['ARCHIVE_INVALID', 'ARCHIVE_UNREADABLE', 'LIMIT_EXCEEDED', 'MANIFEST_INVALID'];
  for (const code of codes) {
    const error = await refusing(t, fetching, `app:${code}`);
    t.like(error, { code, details: { keep: 'oci' } });
    t.regex(error?.message ?? '', /can be kept as it is/);
    t.regex(error ? adviceFor(error) : '', /--keep=oci/);
    t.notRegex(error ? adviceFor(error) : '', /will not take it|leads to an image/);
  }
  for (const code of codes) {
    t.like(await fetching.fetch(fetching.reference(`app:${code}`), { keep: 'oci' }), { status: 'fetched' });
  }
});

for (const [status, code] of [
  [401, 'AUTH_REQUIRED'],
  [403, 'AUTH_REQUIRED'],
] as const) {
  test(`a registry that answers ${status}`, async (t) => {
    const challenge = { 'www-authenticate': 'Basic realm="x"' };
    const guard = ({ url }: IncomingMessage) =>
      status === 403 && url === '/v2/' ? undefined : refusal(status, 'DENIED', 'no\u001b[31m entry', challenge);
    const fetching = await openRegistryFetching(t, {}, { guard });
    await putApp(fetching);
    t.is((await refusing(t, fetching))?.code, code);
    const credentials = { [fetching.registry.host]: { user: 'u', password: 'secret' } };
    const denied = await fetching.fetch(fetching.reference('app:1'), { dockerCredentials: credentials });
    t.deepEqual(codesOf(denied).slice(0, 1), ['AUTH_DENIED']);
    t.false(JSON.stringify(denied).includes('secret'));
  });
}

test('a refused layer does not affect other images of the batch', async (t) => {
  const fetching = await openRegistryFetching(t);
  const { registry, reference, fetchAll } = fetching;
  const { layer } = await putApp(fetching);
  registry.routes[layer] = { status: 404 };
  registry.putImage('other', '1', { layers: [await layerOf({ b: '1' })] });
  const outcomes = await fetchAll([reference('app:1'), reference('other:1')]);
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['failed', 'fetched'],
  );
});
