import test from 'ava';

import { attachedTag, indexOf, putAttached, putBuilt, serveReferrers } from '../../helpers/attached.ts';
import { openPushing } from '../../helpers/pushing.ts';
import { types } from '../../helpers/registry.ts';
import { openRegistryFetching, type RegistryFetching } from '../../helpers/registry-fetching.ts';

const attached = { referrers: true, keep: 'oci' } as const;

/** The digests of what is attached to the only image, with their tags. */
async function referrersOf({ store }: Pick<RegistryFetching, 'store'>) {
  const [image] = await Array.fromAsync(store.registryImages());
  return image?.referrers?.map(({ digest, tag }) => (tag === undefined ? digest : `${tag} ${digest}`)).sort();
}

test('what the registry lists as attached to an image comes along, all pages of it, and with what cosign has tagged', async (t) => {
  const fetching = await openRegistryFetching(t, attached);
  const { registry, fetch, reference, blobs, store } = fetching;
  const image = registry.putImage('app', '1');
  const manifests = ['a', 'b', 'c'].map((artifactType) => putAttached(registry, 'app', { to: image, artifactType }));
  serveReferrers(registry, 'app', { to: image, manifests, pageSize: 1 });
  const tags = ['.sig', '.att', '.sbom'].map((suffix) => attachedTag(image, suffix));
  const tagged = tags.map((tag) => `${tag} ${putAttached(registry, 'app', { tag, artifactType: tag }).digest}`);
  const outcome = await fetch(reference('app:1'));
  t.like(outcome, { status: 'fetched', imageID: image.digest });
  t.deepEqual(await referrersOf(fetching), [...manifests.map(({ digest }) => digest), ...tagged].sort());
  const served = Object.keys(registry.routes).flatMap((path) => /[^/]*sha256:[0-9a-f]{64}$/.exec(path)?.[0] ?? []);
  t.deepEqual((await blobs()).toSorted(), [...new Set(served)].sort());

  const [listed] = await Array.fromAsync(store.registryImages());
  t.deepEqual([...(listed?.blobs ?? [])].sort(), [...new Set(served)].sort());
  t.is(await store.removeRegistryImage(listed?.reference ?? ''), listed?.size ?? 0);
  t.deepEqual(await blobs(), []);
});

test('where the registry lists nothing, the tag is read; it is kept as long as all of it is there', async (t) => {
  const fetching = await openRegistryFetching(t, attached);
  const { registry, fetch, reference } = fetching;
  const image = registry.putImage('app', '1');
  const [one, other] = ['a', 'b'].map((artifactType) => putAttached(registry, 'app', { to: image, artifactType }));
  const tag = attachedTag(image);
  const list = registry.putManifest('app', tag, indexOf([one, other].flatMap((found) => found ?? [])), types.index);
  await fetch(reference('app:1'));
  t.deepEqual(await referrersOf(fetching), [`${tag} ${list.digest}`, one?.digest, other?.digest].sort());

  delete registry.routes[`/v2/app/manifests/${other?.digest ?? ''}`];
  const again = await openRegistryFetching(t, attached);
  for (const [path, route] of Object.entries(registry.routes)) again.registry.routes[path] = route;
  await again.fetch(again.reference('app:1'));
  t.deepEqual(await referrersOf(again), [one?.digest]);
});

test('registries without the list answer in many ways, and an image without anything attached is one all the same', async (t) => {
  const fetching = await openRegistryFetching(t, attached);
  const { registry, fetch, reference, asked } = fetching;
  for (const [at, route] of [
    { status: 400 },
    { status: 404 },
    { status: 405 },
    { status: 501 },
    { body: '<html>', headers: { 'content-type': 'text/html' } },
  ].entries()) {
    const image = registry.putImage('app', String(at), { layers: [String(at)] });
    registry.routes[`/v2/app/referrers/${image.digest}`] = route;
    t.like(await fetch(reference(`app:${at}`)), { status: 'fetched', imageID: image.digest });
  }
  const before = asked('');
  t.like(await fetch(reference('app:0')), { status: 'present' });
  t.is(asked(''), before);
});

test('with all platforms, what is attached to the index and to each manifest comes along, and stays when it is not asked for', async (t) => {
  const fetching = await openRegistryFetching(t, { ...attached, platform: ['all'] });
  const { registry, fetch, reference, store, asked } = fetching;
  const { index, images } = putBuilt(registry);
  const subjects = [index, ...images];
  const signatures = subjects.map((subject) => {
    const tag = attachedTag(subject, '.sig');
    return `${tag} ${putAttached(registry, 'app', { tag, artifactType: tag }).digest}`;
  });
  t.like(await fetch(reference('app:1')), { status: 'fetched', imageID: index.digest });
  t.deepEqual(await referrersOf(fetching), signatures.toSorted());
  await fetch(reference('app:1'), { referrers: false, pullPolicy: 'update' });
  t.deepEqual(await referrersOf(fetching), signatures.toSorted());

  const before = asked('');
  const part = await fetch(reference('app:1'), { platform: ['linux/arm64'] });
  t.like(part, { status: 'present', imageID: images[1]?.digest });
  t.is(asked(''), before);
  const [one] = await store.registryImagesOf(await store.resolveDigest(images[1]?.digest ?? ''));
  t.deepEqual(one?.referrers?.map(({ subject }) => subject).sort(), [index.digest, images[1]?.digest].sort());
});

test('an image without what is attached to it is asked for again, and update asks each time; what is there is not fetched again', async (t) => {
  const fetching = await openRegistryFetching(t, { keep: 'oci' });
  const { registry, fetch, reference, asked } = fetching;
  const image = registry.putImage('app', '1');
  await fetch(reference('app:1'));
  const sbom = putAttached(registry, 'app', { to: image });
  serveReferrers(registry, 'app', { to: image, manifests: [sbom] });
  await fetch(reference('app:1'), attached);
  t.deepEqual(await referrersOf(fetching), [sbom.digest]);
  t.is(asked(`GET /v2/app/blobs/`), 4);
  const more = putAttached(registry, 'app', { to: image, artifactType: 'more' });
  serveReferrers(registry, 'app', { to: image, manifests: [sbom, more] });
  t.like(await fetch(reference('app:1'), attached), { status: 'present' });
  await fetch(reference('app:1'), { ...attached, pullPolicy: 'update' });
  t.deepEqual(await referrersOf(fetching), [sbom.digest, more.digest].sort());
});

test('what is not attached to the image is left out with a warning; a list that is too long or leads elsewhere fails the image', async (t) => {
  const fetching = await openRegistryFetching(t, attached);
  const { registry, fetch, reference, kept } = fetching;
  const image = registry.putImage('app', '1');
  const stranger = putAttached(registry, 'app', { to: { ...image, digest: `sha256:${'0'.repeat(64)}` } });
  serveReferrers(registry, 'app', { to: image, manifests: [stranger] });
  const warnings: string[] = [];
  const onEvent = (event: { type: string; message?: string }) => {
    if (event.type === 'warning') warnings.push(event.message ?? '');
  };
  await fetch(reference('app:1'), { ...attached, onEvent });
  t.deepEqual(await referrersOf(fetching), []);
  t.true(warnings.some((message) => message.includes(stranger.digest) && message.includes('it is not')));

  const long = registry.putImage('long', '1', { layers: ['long'] });
  const many = Array.from({ length: 257 }, (_, at) => ({
    ...stranger,
    digest: `sha256:${String(at).padStart(64, '0')}`,
  }));
  serveReferrers(registry, 'long', { to: long, manifests: many });
  t.like((await fetch(reference('long:1'))).error, { code: 'LIMIT_EXCEEDED', details: { limit: 'referrers' } });

  const endless = registry.putImage('endless', '1', { layers: ['endless'] });
  const path = `/v2/endless/referrers/${endless.digest}`;
  const page = (link: string) => ({
    body: JSON.stringify(indexOf([])),
    headers: { 'content-type': types.index, link },
  });
  registry.routes[path] = page(`<${path}?last=x>; rel="next"`);
  t.like((await fetch(reference('endless:1'))).error, { code: 'LIMIT_EXCEEDED', details: { limit: 'referrers' } });
  registry.routes[path] = page('<https://elsewhere.example/>; rel="next"');
  t.like((await fetch(reference('endless:1'))).error, { code: 'MANIFEST_INVALID' });

  const lie = registry.putImage('lie', '1', { layers: ['lie'] });
  const tag = attachedTag(lie, '.sig');
  const signature = putAttached(registry, 'lie', { tag });
  registry.routes[`/v2/lie/manifests/${tag}`] = { status: 500 };
  t.like((await fetch(reference('lie:1'))).error, { code: 'HTTP_STATUS' });
  t.truthy(signature);
  t.deepEqual(await kept(), [reference('app:1').slice('docker://'.length)]);
});

test('a push sends what is attached along with the image, under its tags', async (t) => {
  const { registry, fetch, reference, push, target } = await openPushing(t);
  const { index, images } = putBuilt(registry);
  const sbom = putAttached(registry, 'app', { to: index });
  serveReferrers(registry, 'app', { to: index, manifests: [sbom] });
  const tag = attachedTag(images[0] ?? index, '.sig');
  const signature = putAttached(registry, 'app', { tag });
  await fetch(reference('app:1'), { ...attached, platform: ['all'] });
  const { outcomes } = await push([reference('app:1')]);
  t.like(outcomes[0], { status: 'pushed', digest: index.digest });
  for (const name of ['app:1', `app:${tag}`, `app@${sbom.digest}`, `app@${index.digest}`, `app@${signature.digest}`])
    t.true(target.manifests.has(name), name);
});

test('what is attached to something attached comes along, three deep, and a push sends it', async (t) => {
  const { registry, fetch, reference, push, target, store } = await openPushing(t);
  const chain = [registry.putImage('app', '1')];
  for (const artifactType of ['of the image', 'of that', 'of that in turn', 'too deep']) {
    const to = chain.at(-1);
    if (!to) return;
    const next = putAttached(registry, 'app', {
      to,
      artifactType: `application/vnd.example.${artifactType.replaceAll(' ', '-')}`,
    });
    serveReferrers(registry, 'app', { to, manifests: [next] });
    chain.push(next as (typeof chain)[number]);
  }
  await fetch(reference('app:1'), attached);
  const [image, ...others] = chain.map(({ digest }) => digest);
  const found = await store.findRegistryImage(reference('app:1').slice('docker://'.length));
  t.deepEqual(
    found?.referrers?.map(({ digest, subject }) => [digest, subject] as string[]),
    others.slice(0, 3).map((digest, at) => [digest, chain[at]?.digest ?? '']),
  );
  t.is((await push([reference('app:1')])).outcomes[0]?.status, 'pushed');
  for (const digest of [image, ...others.slice(0, 3)]) t.true(target.manifests.has(`app@${digest}`), digest);
});

test('archives alone have nothing attached to them', async (t) => {
  const fetching = await openRegistryFetching(t);
  t.like(
    t.throws(() => fetching.finder({ referrers: true, keep: 'aci' })),
    { code: 'USAGE' },
  );
});
