import { chmod, writeFile } from 'node:fs/promises';

import test, { type ExecutionContext } from 'ava';

import { codesOf } from '../helpers/fetching.ts';
import type { TargetOptions } from '../helpers/push-target.ts';
import { openPushing } from '../helpers/pushing.ts';
import { types } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';

const digestIn = (url: string) => decodeURIComponent(/sha256(?::|%3A)[0-9a-f]{64}/.exec(url)?.[0] ?? '');

test('an image is pushed as it came: its blobs, then its manifest, by its tag', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  const { digest, manifest } = registry.putImage('team/app', '1', { layers: [await layerOf({ a: 'x' }), 'other'] });
  await fetch(reference('team/app:1'));
  const { outcomes, totals } = await push([reference('team/app:1')]);
  t.like(outcomes[0], {
    status: 'pushed',
    reference: reference('team/app:1'),
    target: `${target.host}/team/app:1`,
    pushed: `${target.host}/team/app@${digest}`,
    digest,
    blobs: { uploaded: 3, mounted: 0, present: 0 },
  });
  t.like(totals, { images: 1, pushed: 1, failed: 0, blobsUploaded: 3, retries: 0 });
  t.is(target.manifests.get('team/app:1')?.bytes.toString(), JSON.stringify(manifest));
  t.deepEqual(
    target
      .asked('PUT')
      .map((url) => url.replace(/\/uploads\/.*$/, ''))
      .slice(0, 3),
    Array(3).fill('/v2/team/app/blobs'),
  );
  t.is(target.asked('PUT').at(-1), '/v2/team/app/manifests/1');
});

test('what is at the target is not sent again: a manifest under its tag ends it, a blob is asked for by HEAD', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  registry.putImage('team/app', '1', { layers: ['one', 'two'] });
  registry.putImage('team/app', '2', { layers: ['one', 'three'] });
  await fetch(reference('team/app:1'));
  await fetch(reference('team/app:2'));
  await push([reference('team/app:1')]);
  const sent = target.asked('PUT').length;
  const again = await push([reference('team/app:1')]);
  t.is(target.asked('PUT').length, sent);
  t.like(again.outcomes[0], { status: 'present', bytesUploaded: 0 });
  t.is(again.totals.requests, 3); // two of them find out that it is a registry of http
  const next = await push([reference('team/app:2')]);
  t.like(next.outcomes[0], { status: 'pushed', blobs: { uploaded: 2, mounted: 0, present: 1 } });
});

test('a blob is sent once for a batch, and mounted into all other repositories', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  const names = Array.from({ length: 12 }, (_, index) => `team/app-${index}`);
  for (const name of names) registry.putImage(name, '1', { layers: ['shared', 'also shared', name] });
  for (const name of names) await fetch(reference(`${name}:1`));
  const { outcomes, totals } = await push(names.map((name) => reference(`${name}:1`)));
  t.true(outcomes.every(({ status }) => status === 'pushed'));
  const sent = target.asked('PUT', /blobs/).map(digestIn);
  t.is(sent.length, new Set(sent).size);
  t.is(totals.blobsUploaded, sent.length);
  t.is(totals.blobsMounted, 2 * (names.length - 1));
  t.is(target.manifests.size, 2 * names.length);
});

/** Pushes one image after the other: the second mounts, and the others have layers of their own, one of which is there already. */
async function pushAfterMount(t: ExecutionContext, options: TargetOptions = {}) {
  const { registry, reference, fetch, push, target } = await openPushing(t, options);
  const names = ['a', 'b', 'c', 'd'].map((name) => `team/${name}`);
  const images = names.map((name) => registry.putImage(name, '1', { layers: ['shared', name] }).manifest);
  for (const name of names) await fetch(reference(`${name}:1`));
  const there = images[3]?.layers[1]?.digest ?? '';
  target.blobs.set(`team/d@${there}`, Buffer.from('team/d'));
  const { outcomes } = await push(
    names.map((name) => reference(`${name}:1`)),
    {},
    { jobs: 1 },
  );
  t.true(outcomes.every(({ status }) => status === 'pushed'));
  return { target, there, last: outcomes[3], third: target.asked('HEAD', /team\/c\/blobs/) };
}

test('a registry that mounts is asked for a blob by the request that begins its upload', async (t) => {
  const { target, there, last, third } = await pushAfterMount(t);
  t.deepEqual(third, []);
  t.like(last, { blobs: { uploaded: 1, mounted: 1, present: 1 } });
  t.is(
    target.asked('POST', new RegExp(`team/d/blobs/uploads/.mount=${encodeURIComponent(there)}&from=team%2Fd$`)).length,
    1,
  );
  t.is(target.uploads.size, 0);
});

test('a registry that does not find a blob in the repository that it is mounted into is asked by HEAD', async (t) => {
  const { last, third } = await pushAfterMount(t, {
    intercept({ url, response }) {
      const isOwn = url.searchParams.get('from') === /^\/v2\/(.+)\/blobs/.exec(url.pathname)?.[1];
      const location = `${url.pathname}left-alone`;
      return isOwn && Boolean(response.writeHead(202, { location, 'content-length': '0' }).end());
    },
  });
  t.true(third.length > 0);
  t.like(last, { blobs: { uploaded: 1, mounted: 1, present: 1 } });
});

test('a registry that mounts nothing gets its blobs all the same', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t, { mountsNothing: true });
  for (const name of ['a', 'b']) registry.putImage(`team/${name}`, '1', { layers: ['shared', name] });
  for (const name of ['a', 'b']) await fetch(reference(`team/${name}:1`));
  const { totals } = await push([reference('team/a:1'), reference('team/b:1')]);
  t.like(totals, { pushed: 2, blobsUploaded: 6, blobsMounted: 0 });
  t.is(target.uploads.size, 0);
});

test('an image that is at the target without its blobs keeps no other from sending them', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  const names = ['a', 'b', 'c'];
  for (const name of names) registry.putImage(name, '1', { layers: ['shared', name] });
  for (const name of names) await fetch(reference(`${name}:1`));
  await push([reference('a:1')]);
  target.blobs.clear();
  const { totals } = await push(
    names.map((name) => reference(`${name}:1`)),
    {},
    { jobs: 1 },
  );
  t.like(totals, { present: 1, pushed: 2, blobsUploaded: 5, blobsMounted: 1 });
  t.is(target.uploads.size, 0);
});

test('a registry that refuses to be asked for mounts, or fails over it, is asked once', async (t) => {
  for (const status of [405, 500, 204]) {
    const { registry, reference, fetch, push, target } = await openPushing(t, {
      intercept: ({ url, response }) => url.searchParams.has('mount') && Boolean(response.writeHead(status).end()),
    });
    for (const name of ['a', 'b', 'c']) registry.putImage(`team/${name}`, '1', { layers: ['shared', name] });
    for (const name of ['a', 'b', 'c']) await fetch(reference(`team/${name}:1`));
    const { totals } = await push(
      ['a', 'b', 'c'].map((name) => reference(`team/${name}:1`)),
      {},
      { jobs: 1 },
    );
    t.like(totals, { pushed: 3, blobsMounted: 0 });
    t.is(target.asked('POST', /mount=/).length, 1);
  }
});

test('a registry that does not know HEAD gets images, and is asked for their manifests by GET', async (t) => {
  for (const status of [405, 501]) {
    const { registry, reference, fetch, push } = await openPushing(t, {
      intercept: ({ method, response }) => method === 'HEAD' && Boolean(response.writeHead(status).end()),
    });
    registry.putImage('app', '1');
    await fetch(reference('app:1'));
    t.like((await push([reference('app:1')])).totals, { pushed: 1 });
    t.like((await push([reference('app:1')])).totals, { present: 1 });
  }
});

test('an image that is known by its digest only is pushed without a tag', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  const { digest } = registry.putImage('team/app', undefined);
  await fetch(reference(`team/app@${digest}`));
  const { outcomes } = await push([digest.slice(0, 20)]);
  t.like(outcomes[0], {
    status: 'pushed',
    target: `${target.host}/team/app`,
    pushed: `${target.host}/team/app@${digest}`,
  });
  t.deepEqual([...target.manifests.keys()], [`team/app@${digest}`]);
});

test('a damaged blob fails its image alone, and its upload is never completed', async (t) => {
  const { registry, reference, fetch, push, target, store } = await openPushing(t);
  const bytes = Buffer.alloc(300_000, 'a');
  const bad = registry.putImage('team/bad', '1', { layers: [bytes] }).manifest.layers[0];
  registry.putImage('team/good', '1', { layers: ['good'] });
  await fetch(reference('team/bad:1'));
  await fetch(reference('team/good:1'));
  const path = store.digestPath(bad?.digest as Parameters<typeof store.digestPath>[0]);
  await chmod(path, 0o600);
  await writeFile(path, Buffer.alloc(300_000, 'b'));
  const { outcomes } = await push([reference('team/bad:1'), reference('team/good:1')]);
  t.like(outcomes[0], { status: 'failed', error: { code: 'STORE_CORRUPT' } });
  t.is(outcomes[1]?.status, 'pushed');
  t.deepEqual(
    [...target.manifests.keys()].filter((name) => name.startsWith('team/bad')),
    [],
  );
  t.is([...target.blobs.values()].filter((blob) => blob.length === 300_000).length, 0);
});

test('two images for one tag are refused before anything is sent', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  const other = await openPushing(t);
  registry.putImage('team/app', '1', { layers: ['one'] });
  await fetch(reference('team/app:1'));
  other.registry.putImage('team/app', '1', { layers: ['two'] });
  await fetch(other.reference('team/app:1'));
  const images = [reference('team/app:1'), other.reference('team/app:1')];
  const error = await t.throwsAsync(push(images), { code: 'USAGE' });
  t.regex(error?.message ?? '', /same name at the target: 127\.0\.0\.1:\d+\/team\/app:1 for /);
  t.deepEqual(target.requests, []);
  const { outcomes } = await push(images, { scoped: true });
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['pushed', 'pushed'],
  );
  t.deepEqual(
    [...target.manifests.keys()].filter((name) => name.endsWith(':1')).toSorted(),
    [registry.host, other.registry.host].map((host) => `${host.replace(':', '_')}/team/app:1`).toSorted(),
  );
});

test('with noOverwrite a tag that is there with another digest is left, and one with the same is present', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  const first = registry.putImage('team/app', '1', { layers: ['one'] });
  await fetch(reference('team/app:1'));
  await push([reference('team/app:1')]);
  t.is((await push([reference('team/app:1')], { noOverwrite: true })).outcomes[0]?.status, 'present');
  registry.putImage('team/app', '1', { layers: ['two'] });
  await fetch(reference('team/app:1'), { pullPolicy: 'update' });
  const { outcomes } = await push([reference('team/app:1')], { noOverwrite: true });
  t.like(outcomes[0], { status: 'failed', error: { code: 'TAG_EXISTS', details: { found: first.digest } } });
  t.is(target.manifests.get('team/app:1')?.bytes.toString(), JSON.stringify(first.manifest));
  t.is((await push([reference('team/app:1')])).outcomes[0]?.status, 'pushed');
});

test('a dry run asks and sends nothing', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  const { digest } = registry.putImage('team/app', '1');
  await fetch(reference('team/app:1'));
  const { outcomes, totals } = await push([reference('team/app:1')], { dryRun: true });
  t.like(outcomes[0], { status: 'planned', pushed: `${target.host}/team/app@${digest}` });
  t.like(totals, { planned: 1, requests: 0 });
  t.deepEqual(target.requests, []);
});

test('an image that is not in the store fails alone; the same image asked for twice is pushed once', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  registry.putImage('team/app', '1');
  await fetch(reference('team/app:1'));
  const { outcomes } = await push([reference('team/none:1'), reference('team/app:1'), reference('team/app:1')]);
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['failed', 'pushed', 'pushed'],
  );
  t.deepEqual(codesOf(outcomes[0] ?? {}), ['NOT_IN_STORE']);
  t.is(target.asked('PUT', /manifests/).length, 1);
});

test('an index that names the same index many times, which does so too, is pushed as what it is: four documents', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  const { mediaType, digest, size } = registry.putImage('app', undefined);
  let entry: object = { mediaType, digest, size, platform: { os: 'linux', architecture: 'amd64' } };
  for (const tag of [undefined, undefined, 'nested']) {
    const index = { schemaVersion: 2, mediaType: types.index, manifests: Array(1000).fill(entry) };
    entry = registry.putManifest('app', tag, index, types.index);
  }
  t.like(await fetch(reference('app:nested'), { platform: ['all'] }), { status: 'fetched' });
  const { outcomes } = await push([reference('app:nested')]);
  t.like(outcomes[0], { status: 'pushed', blobs: { uploaded: 2 } });
  t.is(target.asked('PUT', /manifests/).length, 4);
  const fetched = await push([{ image: reference('app:nested') }], { dryRun: true });
  t.is(fetched.outcomes[0]?.size, outcomes[0]?.size);
});

test('an index of which all is in the store is pushed whole, its children before it; of any other the manifest that was chosen', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  const children = (['amd64', 'arm64'] as const).map((architecture) => {
    const { mediaType, digest, size } = registry.putImage('team/app', undefined, {
      layers: [architecture],
      architecture,
    });
    return { mediaType, digest, size, platform: { os: 'linux', architecture } };
  });
  const index = registry.putManifest(
    'team/app',
    '1',
    { schemaVersion: 2, mediaType: types.index, manifests: children },
    types.index,
  );
  await fetch(reference('team/app:1'));
  const one = await push([reference('team/app:1')], { to: `docker://${target.host}/one` });
  t.like(one.outcomes[0], { status: 'pushed', digest: children[0]?.digest });
  t.is(target.manifests.get('one/team/app:1')?.type, types.manifest);

  await fetch(reference('team/app:1'), { platform: ['linux/amd64', 'linux/arm64'] });
  const whole = await push([reference('team/app:1')], { to: `docker://${target.host}/all` });
  t.like(whole.outcomes[0], {
    status: 'pushed',
    digest: index.digest,
    pushed: `${target.host}/all/team/app@${index.digest}`,
  });
  const names = [...target.manifests.keys()].filter((name) => name.startsWith('all/'));
  t.deepEqual(names.slice(0, 2).toSorted(), children.map(({ digest }) => `all/team/app@${digest}`).toSorted());
  t.deepEqual(names.slice(2), [`all/team/app@${index.digest}`, 'all/team/app:1']);
});

test('no index is sent of which the store has a part only: the manifests go by themselves, as a registry takes them that wants whole indexes', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  const children = ['amd64', 'arm64', 's390x'].map((architecture) => {
    const { mediaType, digest, size } = registry.putImage('app', undefined, { layers: [architecture], architecture });
    return { mediaType, digest, size, platform: { os: 'linux', architecture } };
  });
  const index = { schemaVersion: 2, mediaType: types.index, manifests: children };
  registry.putManifest('app', '1', index, types.index);
  await fetch(reference('app:1'), { platform: ['linux/amd64', 'linux/arm64'] });
  const { outcomes } = await push([reference('app:1')]);
  t.like(outcomes[0], { status: 'pushed', digest: children[0]?.digest });
  await push([], { all: true });
  const { manifests } = target;
  t.deepEqual([...manifests.keys()], [`app@${children[0]?.digest}`, 'app:1', `app@${children[1]?.digest}`]);
  t.false([...manifests.values()].some(({ type }) => type === types.index));
});

test('a push that is stopped reports what had not ended as cancelled, and the next one sends only the rest', async (t) => {
  const stop = new AbortController();
  const { registry, reference, fetch, push, target } = await openPushing(t, {
    intercept({ method, url }) {
      if (method === 'PUT' && url.pathname.includes('manifests')) stop.abort();
      return false;
    },
  });
  const names = Array.from({ length: 6 }, (_, index) => reference(`team/app-${index}:1`));
  for (const name of names) registry.putImage(name.replace(/^.*(team.*):1$/, '$1'), '1', { layers: ['shared', name] });
  for (const name of names) await fetch(name);
  const first = await push(names, { signal: stop.signal }, { jobs: 1 });
  t.true(first.totals.cancelled > 0);
  t.true(first.outcomes.every(({ status, error }) => status === 'pushed' || error?.code === 'CANCELLED'));
  const sent = new Set(target.blobs.keys());
  const mountsBefore = target.asked('POST', /mount=/).length;
  const second = await push(names);
  t.is(second.totals.failed + second.totals.cancelled, 0);
  // what is taken from another repository is not asked for before, so it may be there already
  const again = target
    .asked('POST', /mount=/)
    .slice(mountsBefore)
    .filter((asked) => {
      const [, repository = '', digest = '', from] =
        /^\/v2\/(.+)\/blobs\/uploads\/\?mount=(.+)&from=(.+)$/.exec(decodeURIComponent(asked)) ?? [];
      return from !== repository && sent.has(`${repository}@${digest}`);
    });
  t.is(second.totals.blobsUploaded + second.totals.blobsMounted, 6 * 3 - sent.size + again.length);
});

test('what the registry of the target has in the repository that an image came from is mounted', async (t) => {
  const { registry, reference, fetch, push, target } = await openPushing(t);
  registry.putImage('team/app', '1', { layers: ['one', 'two'] });
  await fetch(reference('team/app:1'));
  await push([reference('team/app:1')]);
  const sent = target.asked('PUT', /blobs/).length;
  const store = await openPushing(t);
  await store.fetch(`docker://${target.host}/team/app:1`);
  const { outcomes } = await store.push([`docker://${target.host}/team/app:1`], {
    to: `docker://${target.host}/mirror`,
  });
  t.like(outcomes[0], { status: 'pushed', blobs: { uploaded: 0, mounted: 3, present: 0 } });
  t.is(target.asked('PUT', /blobs/).length, sent);
});
