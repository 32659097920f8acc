import { createHash } from 'node:crypto';

import test, { type ExecutionContext } from 'ava';

import { attachedTag, indexOf, putAttached, serveReferrers } from '../helpers/attached.ts';
import { startDockerRegistry } from '../helpers/docker-registry.ts';
import { codesOf } from '../helpers/fetching.ts';
import type { Ask, PushTarget, TargetOptions } from '../helpers/push-target.ts';
import { openPushing } from '../helpers/pushing.ts';
import { types } from '../helpers/registry.ts';

const attached = { referrers: true, keep: 'oci' } as const;

type List = { readonly manifests: readonly { readonly digest: string }[] };

/** An image in the store with one list of its parts, which its registry lists itself, and a registry to push it to. */
async function openAttached(t: ExecutionContext, options: TargetOptions = {}) {
  const pushing = await openPushing(t, options);
  const { registry, fetch, reference } = pushing;
  const image = registry.putImage('app', '1');
  const sbom = putAttached(registry, 'app', { to: image });
  serveReferrers(registry, 'app', { to: image, manifests: [sbom] });
  await fetch(reference('app:1'), attached);
  return { ...pushing, image, sbom, tag: attachedTag(image) };
}

/** Puts a list at the target, as another client does. */
function putList(target: PushTarget, tag: string, list: object): void {
  const bytes = Buffer.from(JSON.stringify(list));
  const stored = { bytes, type: types.index };
  target.manifests.set(`app:${tag}`, stored);
  target.manifests.set(`app@sha256:${createHash('sha256').update(bytes).digest('hex')}`, stored);
}

function listAt(target: PushTarget, tag: string): List {
  return JSON.parse(target.manifests.get(`app:${tag}`)?.bytes.toString() ?? '{"manifests":[]}') as List;
}

const digestsAt = (target: PushTarget, tag: string): readonly string[] =>
  listAt(target, tag).manifests.map(({ digest }) => digest);

const other = {
  mediaType: types.manifest,
  digest: `sha256:${'4'.repeat(64)}`,
  size: 7,
  artifactType: 'application/vnd.example.other',
  annotations: { kept: 'as it is' },
};

test('a registry that does not list what is attached gets a list under the tag of the image, and a fetch from there finds it', async (t) => {
  const { push, reference, target, fetch, sbom, tag, store } = await openAttached(t);
  t.like((await push([reference('app:1')])).outcomes[0], { status: 'pushed' });
  t.like(listAt(target, tag), {
    mediaType: types.index,
    manifests: [{ digest: sbom.digest, size: sbom.size, artifactType: 'application/vnd.example.sbom' }],
  });
  t.like((await push([reference('app:1')])).outcomes[0], { status: 'present' });
  await fetch(`docker://${target.host}/app:1`, attached);
  const found = await store.findRegistryImage(`${target.host}/app:1`);
  const referrers = found?.referrers?.map((one) => [one.digest, one.tag]) ?? [];
  t.deepEqual(referrers[0], [sbom.digest, undefined]);
  t.is(referrers[1]?.[1], tag);
});

test('a registry that lists what is attached itself gets no list', async (t) => {
  const { push, reference, target, tag } = await openAttached(t, {
    intercept({ url, response }) {
      if (!url.pathname.includes('/referrers/')) return false;
      response.writeHead(200, { 'content-type': types.index }).end(JSON.stringify(indexOf([])));
      return true;
    },
  });
  t.like((await push([reference('app:1')])).outcomes[0], { status: 'pushed' });
  t.false(target.manifests.has(`app:${tag}`));
});

for (const status of [400, 401, 403, 404, 405, 500]) {
  test(`a registry that answers ${status} when it is asked for what is attached gets a list`, async (t) => {
    const { push, reference, target, tag, sbom } = await openAttached(t, {
      intercept({ url, response }) {
        if (!url.pathname.includes('/referrers/')) return false;
        response.writeHead(status).end();
        return true;
      },
    });
    t.like((await push([reference('app:1')])).outcomes[0], { status: 'pushed' });
    t.deepEqual(digestsAt(target, tag), [sbom.digest]);
  });
}

test('a list without entries may say so by null', async (t) => {
  const { push, reference, target, tag, sbom } = await openAttached(t);
  putList(target, tag, { ...indexOf([]), manifests: null });
  t.like((await push([reference('app:1')])).outcomes[0], { status: 'pushed' });
  t.deepEqual(digestsAt(target, tag), [sbom.digest]);
});

test('what a list names already stays in it as it is', async (t) => {
  const { push, reference, target, tag, sbom } = await openAttached(t);
  target.manifests.set(`app@${other.digest}`, { bytes: Buffer.from('{}'), type: types.manifest });
  putList(target, tag, { ...indexOf([other]), annotations: { of: 'the list' } });
  t.like((await push([reference('app:1')], { noOverwrite: true })).outcomes[0], { status: 'pushed' });
  t.like(listAt(target, tag), { annotations: { of: 'the list' }, manifests: [other, { digest: sbom.digest }] });
});

const isListPut = ({ method, url }: Ask): boolean => method === 'PUT' && url.pathname.includes('/manifests/sha256-');

test('a list that another client replaces meanwhile gets what it lacks again', async (t) => {
  let puts = 0;
  const opened = await openAttached(t, {
    intercept(ask) {
      if (!isListPut(ask) || (puts += 1) > 1) return false;
      ask.response.once('finish', () => putList(opened.target, opened.tag, indexOf([other])));
      return false;
    },
  });
  const { push, reference, target, tag, sbom } = opened;
  target.manifests.set(`app@${other.digest}`, { bytes: Buffer.from('{}'), type: types.manifest });
  t.like((await push([reference('app:1')])).outcomes[0], { status: 'pushed' });
  t.deepEqual(digestsAt(target, tag), [other.digest, sbom.digest]);
  t.is(puts, 2);
});

test('a registry that refuses to replace a list which has changed is read again', async (t) => {
  const conditions: unknown[] = [];
  const opened = await openAttached(t, {
    intercept(ask) {
      if (!isListPut(ask)) return false;
      const { 'if-none-match': none, 'if-match': match } = ask.request.headers;
      conditions.push(none ?? match);
      if (conditions.length > 1) return false;
      putList(opened.target, opened.tag, indexOf([other]));
      ask.request.resume();
      ask.response.writeHead(412).end();
      return true;
    },
  });
  const { push, reference, target, tag, sbom } = opened;
  target.manifests.set(`app@${other.digest}`, { bytes: Buffer.from('{}'), type: types.manifest });
  t.like((await push([reference('app:1')])).outcomes[0], { status: 'pushed' });
  t.deepEqual(digestsAt(target, tag), [other.digest, sbom.digest]);
  t.is(conditions[0], '*');
});

test('two images that are one manifest add to its list in turns', async (t) => {
  const { registry, fetch, push, reference, target, image, tag, sbom } = await openAttached(t);
  const manifest = registry.routes[`/v2/app/manifests/${image.digest}`];
  if (manifest) registry.routes['/v2/app/manifests/2'] = manifest;
  const second = putAttached(registry, 'app', { to: image, artifactType: 'application/vnd.example.second' });
  serveReferrers(registry, 'app', { to: image, manifests: [second] });
  await fetch(reference('app:2'), attached);
  const { outcomes } = await push([reference('app:1'), reference('app:2')]);
  t.true(outcomes.every(({ status }) => status === 'pushed'));
  t.deepEqual(digestsAt(target, tag).toSorted(), [sbom.digest, second.digest].toSorted());
});

test('something else under the tag of a list fails the image, and stays', async (t) => {
  const { push, reference, target, tag } = await openAttached(t);
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: types.manifest, layers: [] }));
  target.manifests.set(`app:${tag}`, { bytes, type: types.manifest });
  const { outcomes } = await push([reference('app:1')]);
  t.deepEqual(codesOf(outcomes[0] ?? {}), ['TAG_EXISTS']);
  t.is(target.manifests.get(`app:${tag}`)?.bytes, bytes);
  t.false(target.manifests.has('app:1'));
});

test('a registry that never keeps what is added is not asked for ever', async (t) => {
  let puts = 0;
  const opened = await openAttached(t, {
    intercept(ask) {
      if (!isListPut(ask)) return false;
      puts += 1;
      ask.response.once('finish', () => putList(opened.target, opened.tag, indexOf([])));
      return false;
    },
  });
  const { outcomes } = await opened.push([opened.reference('app:1')]);
  t.deepEqual(codesOf(outcomes[0] ?? {}), ['RESPONSE_INVALID']);
  t.is(puts, 4);
});

test('docker-registry, which has no list of its own, gives back what was attached', async (t) => {
  const registry = await startDockerRegistry(t);
  if (!registry) return;
  const { push, reference, fetch, store, sbom } = await openAttached(t);
  const { outcomes } = await push([reference('app:1')], { to: `docker://${registry.host}/mirror` });
  t.like(outcomes[0], { status: 'pushed' });
  await fetch(`docker://${registry.host}/mirror/app:1`, attached);
  const found = await store.findRegistryImage(`${registry.host}/mirror/app:1`);
  t.true(found?.referrers?.some(({ digest }) => digest === sbom.digest));
});
