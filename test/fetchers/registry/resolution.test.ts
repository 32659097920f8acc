import { appendFile, chmod, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import test, { type ExecutionContext } from 'ava';

import { createApps } from '../../../src/index.ts';
import type { ActionOptions, BatchEvent, Lock } from '../../../src/internal.ts';
import { codesOf } from '../../helpers/fetching.ts';
import { refusal, startRegistry, type TestRegistryOptions, types } from '../../helpers/registry.ts';
import { openRegistryFetching } from '../../helpers/registry-fetching.ts';

const busy = refusal(503, 'UNAVAILABLE', 'later');
const content = 'x'.repeat(1024);

/** A registry whose layers cannot be had, so that an image is resolved and then fails. */
async function openResolved(
  t: ExecutionContext,
  base: Partial<ActionOptions> = {},
  guard: TestRegistryOptions['guard'] = () => undefined,
) {
  const state = { hasLayers: false };
  const fetching = await openRegistryFetching(
    t,
    { keep: 'oci', ...base },
    { guard: (asked) => (state.hasLayers || !asked.url?.includes('/blobs/') ? guard(asked) : (guard(asked) ?? busy)) },
  );
  const { registry, reference, fetch, store, asked } = fetching;
  const image = registry.putImage('app', '1', { layers: [content] });
  t.deepEqual(codesOf(await fetch(reference('app:1'))), ['HTTP_STATUS']);
  t.is(asked('GET /v2/app/manifests/'), 1);
  state.hasLayers = true;
  const change = (sql: string): void => {
    const db = new DatabaseSync(join(store.dir, 'index.sqlite'), { timeout: 10_000 });
    db.exec(sql);
    db.close();
  };
  return { ...fetching, image, change, manifests: () => asked('GET /v2/app/manifests/') };
}

const age = (ms: number) => `UPDATE answers SET answered_at = answered_at - ${ms}`;

test('a tag that was resolved a short while ago is not asked for again by the next run', async (t) => {
  const { reference, fetch, manifests, image, finder, registry } = await openResolved(t);
  const requests = registry.requests.length;
  const plan = await finder().planImages(createApps([reference('app:1')]));
  t.like(plan.outcomes[0], { status: 'absent', digest: image.digest });
  t.is(registry.requests.length, requests);
  const outcome = await fetch(reference('app:1'), { retries: 1 });
  t.like(outcome, { status: 'fetched', digest: image.digest, endpoint: `${registry.url}/v2/app/manifests/1` });
  t.is(manifests(), 1);
});

test('an answer that is too old, or of the future, is asked for again', async (t) => {
  for (const ms of [300_000, -60_000]) {
    const { reference, fetch, manifests, change } = await openResolved(t);
    change(age(ms));
    t.like(await fetch(reference('app:1')), { status: 'fetched' }, String(ms));
    t.is(manifests(), 2, String(ms));
  }
  const { reference, fetch, manifests, change } = await openResolved(t);
  change(age(290_000));
  t.like(await fetch(reference('app:1')), { status: 'fetched' });
  t.is(manifests(), 1);
});

for (const options of [
  { pullPolicy: 'update' },
  { noStore: true },
  { noCache: true },
  { resolveMaxAgeMs: 0 },
  { resolveMaxAgeMs: 1 },
] as const) {
  test(`a remembered answer is not used with ${JSON.stringify(options)}`, async (t) => {
    const { reference, fetch, manifests } = await openResolved(t);
    t.like(await fetch(reference('app:1'), options), { status: 'fetched' });
    t.is(manifests(), 2);
  });
}

test('with a maximum age of 0 nothing is remembered', async (t) => {
  const { reference, fetch, manifests } = await openResolved(t, { resolveMaxAgeMs: 0 });
  t.like(await fetch(reference('app:1'), { resolveMaxAgeMs: 300_000 }), { status: 'fetched' });
  t.is(manifests(), 2);
});

test('a remembered answer is not used while a lock is written, but with one that is frozen', async (t) => {
  for (const frozen of [false, true]) {
    const { reference, fetchAll, manifests, image } = await openResolved(t);
    const key = `${reference('app:1')}#linux/amd64`;
    const lock: Lock = { images: new Map([[key, image.digest as never]]), frozen, onFound: () => undefined };
    const [outcome] = await fetchAll([reference('app:1')], {}, { lock });
    t.like(outcome, { status: 'fetched' });
    t.is(manifests(), frozen ? 1 : 2);
  }
});

test('a tag that has moved to what a frozen lock has is asked for again', async (t) => {
  const { reference, fetchAll, manifests, registry } = await openResolved(t);
  const { digest } = registry.putImage('app', '1', { layers: ['newer'] });
  const images = new Map([[`${reference('app:1')}#linux/amd64`, digest as never]]);
  const [outcome] = await fetchAll(
    [reference('app:1')],
    {},
    { lock: { images, frozen: true, onFound: () => undefined } },
  );
  t.like(outcome, { status: 'fetched', digest });
  t.is(manifests(), 2);
});

test('a remembered manifest that is missing or damaged is asked for again', async (t) => {
  for (const harm of ['missing', 'damaged'] as const) {
    const { reference, fetch, manifests, store, image } = await openResolved(t);
    const path = store.digestPath(image.digest as never);
    if (harm === 'missing') await rm(path);
    else {
      await chmod(path, 0o644);
      await appendFile(path, ' ');
    }
    t.like(await fetch(reference('app:1')), { status: 'fetched', digest: image.digest }, harm);
    t.is(manifests(), 2, harm);
  }
});

test('an answer in the store that nobody could have given is asked for again', async (t) => {
  const forged = [
    `value = '{'`,
    `value = 'null'`,
    `value = json_set(value, '$.digest', 'sha256:00')`,
    `value = json_set(value, '$.mediaType', '${types.index}')`,
    `value = json_set(value, '$.url', 'mailto:a')`,
    `value = json_set(value, '$.place', 'https://elsewhere  elsewhere')`,
    `value = json_set(value, '$.identity', 'somebody')`,
  ];
  for (const change of forged) {
    const opened = await openResolved(t);
    opened.change(`UPDATE answers SET ${change}`);
    t.like(await opened.fetch(opened.reference('app:1')), { status: 'fetched' }, change);
    t.is(opened.manifests(), 2, change);
  }
});

test('if the tag has moved and what it stood for is gone, the registry is asked and the newer image fetched', async (t) => {
  const { reference, fetch, manifests, registry, image } = await openResolved(t);
  for (const { digest } of image.manifest.layers) delete registry.routes[`/v2/app/blobs/${digest}`];
  const { digest } = registry.putImage('app', '1', { layers: ['newer'] });
  t.like(await fetch(reference('app:1')), { status: 'fetched', digest });
  t.is(manifests(), 2);
});

test('who asks the network first does not get what another fetch has found by a remembered answer', async (t) => {
  const { reference, fetch, registry, image } = await openResolved(t);
  const moved = registry.putImage('app', '1', { layers: ['newer'] });
  const path = `/v2/app/blobs/${image.manifest.layers[0]?.digest}`;
  const begun = Promise.withResolvers<void>();
  const hold = Promise.withResolvers<void>();
  registry.routes[path] = {
    async handler(_, response) {
      begun.resolve();
      await hold.promise;
      response.end(content);
    },
  };
  const first = fetch(reference('app:1'));
  await begun.promise;
  const onEvent = ({ type }: BatchEvent) => {
    if (type === 'waiting') hold.resolve();
  };
  const second = fetch(reference('app:1'), { pullPolicy: 'update', onEvent });
  t.like(await first, { status: 'fetched', digest: image.digest });
  t.like(await second, { status: 'fetched', digest: moved.digest });
});

test('the answer for an image that fails its checks is forgotten, and its manifest removed', async (t) => {
  const { registry, reference, fetch, asked, blobs } = await openRegistryFetching(t, { keep: 'oci' });
  const { manifest } = registry.putImage('app', '1', { layers: ['good'] });
  for (const { digest } of manifest.layers) registry.routes[`/v2/app/blobs/${digest}`] = { body: 'evil' };
  t.deepEqual(codesOf(await fetch(reference('app:1'))), ['DIGEST_MISMATCH']);
  t.deepEqual(codesOf(await fetch(reference('app:1'))), ['DIGEST_MISMATCH']);
  t.is(asked('GET /v2/app/manifests/'), 2);
  t.deepEqual(await blobs(), []);
});

test('a manifest that another image needs stays when an image is refused', async (t) => {
  const { registry, reference, fetch, fetchAll, finder } = await openRegistryFetching(t, { keep: 'oci' });
  const { digest } = registry.putImage('app', '1', { layers: [content] });
  registry.putImage('app', '2', { layers: [content] });
  await fetch(reference('app:1'));
  const images = new Map([[`${reference('app:2')}#linux/amd64`, `sha256:${'0'.repeat(64)}` as never]]);
  const [refused] = await fetchAll(
    [reference('app:2')],
    {},
    { lock: { images, frozen: true, onFound: () => undefined } },
  );
  t.like(refused, { status: 'failed', error: { code: 'HTTP_STATUS', details: { status: 404 } } });
  t.is(await finder({ pullPolicy: 'never' }).findImage(digest), digest as never);
});

test('an index and its manifest are both kept', async (t) => {
  const { registry, reference, fetch, asked } = await openResolved(t);
  const platform = { os: 'linux', architecture: 'amd64' };
  const manifest = { ...registry.putImage('app', undefined, { layers: ['of an index'] }), platform };
  registry.putManifest('app', '2', { schemaVersion: 2, manifests: [manifest] }, types.index);
  const [layer] = manifest.manifest.layers;
  const path = `/v2/app/blobs/${layer?.digest}`;
  const good = registry.routes[path] ?? t.fail();
  registry.routes[path] = busy;
  t.deepEqual(codesOf(await fetch(reference('app:2'))), ['HTTP_STATUS']);
  const before = asked('GET /v2/app/manifests/');
  registry.routes[path] = good;
  t.like(await fetch(reference('app:2')), { endpoint: `${registry.url}/v2/app/manifests/${manifest.digest}` });
  t.is(asked('GET /v2/app/manifests/'), before);
});

test('a reference with a digest is not asked for if the store has its manifest, however old', async (t) => {
  const { reference, fetch, manifests, image, change } = await openResolved(t);
  change('DELETE FROM answers');
  t.like(await fetch(reference(`app@${image.digest}`)), { status: 'fetched', digest: image.digest });
  t.is(manifests(), 1);
});

test('an answer is used by who has the same credentials, and is no proof of having them', async (t) => {
  const user = (password: string) => ({ user: 'me', password });
  const challenge = { 'www-authenticate': 'Basic realm="here"' };
  const as = (password: string) => `Basic ${Buffer.from(`me:${password}`).toString('base64')}`;
  const first = () => Promise.resolve({ kind: 'basic' as const, ...user('first secret') });
  const { registry, reference, fetch, manifests, store, change } = await openResolved(
    t,
    { registryCredentials: first },
    ({ headers }) =>
      [as('first secret'), as('second secret')].includes(headers.authorization ?? '')
        ? undefined
        : refusal(401, 'UNAUTHORIZED', 'who are you', challenge),
  );
  const { host } = registry;
  const none = { registryCredentials: () => Promise.resolve(undefined), retries: 1 };
  t.deepEqual(codesOf(await fetch(reference('app:1'), none))[0], 'AUTH_REQUIRED');
  const asked = manifests();
  t.like(await fetch(reference('app:1'), { ...none, dockerCredentials: { [host]: user('first secret') } }), {
    status: 'fetched',
  });
  t.is(manifests(), asked);

  change('DELETE FROM registry_images'); // its blobs stay: the answer could be used
  t.like(await fetch(reference('app:1'), { ...none, dockerCredentials: { [host]: user('second secret') } }), {
    status: 'fetched',
  });
  t.is(manifests(), asked + 1);
  for (const name of await readdir(store.dir)) {
    if (name.startsWith('index.')) t.false((await readFile(join(store.dir, name))).includes('secret'), name);
  }
});

test('a tag whose image was removed from the store is asked for again, though another tag has the same image', async (t) => {
  const { registry, reference, fetch, store } = await openRegistryFetching(t, { keep: 'oci' });
  for (const tag of ['1', 'latest']) {
    registry.putImage('app', tag, { layers: [content] });
    t.like(await fetch(reference(`app:${tag}`)), { status: 'fetched' });
  }
  const { digest } = registry.putImage('app', 'latest', { layers: ['newer'] });
  await store.removeRegistryImage(`${registry.host}/app:latest`);
  t.like(await fetch(reference('app:latest')), { status: 'fetched', digest });
});

test('an answer of a mirror is used as long as the same mirrors and registries are asked', async (t) => {
  const mirror = await startRegistry(t);
  const other = await startRegistry(t);
  const { registry, reference, fetch, asked } = await openRegistryFetching(t, { keep: 'oci' });
  for (const place of [mirror, other, registry]) {
    const { manifest } = place.putImage('app', '1', { layers: [content] });
    for (const { digest } of manifest.layers) place.routes[`/v2/app/blobs/${digest}`] = busy;
  }
  const through = ({ url }: { readonly url: string }) => ({
    mirrors: [{ prefix: registry.host, mirrors: [{ origin: url, resolves: true }] }],
  });
  const manifestsOf = ({ requests }: typeof mirror) =>
    requests.filter(({ method, url }) => method === 'GET' && url.includes('/manifests/')).length;
  for (const options of [through(mirror), through(mirror), through(other), {}]) {
    t.deepEqual(codesOf(await fetch(reference('app:1'), options)), ['HTTP_STATUS']);
  }
  t.deepEqual([manifestsOf(mirror), manifestsOf(other), asked('GET /v2/app/manifests/')], [1, 1, 1]);
});
