import { readFile, rm, utimes, writeFile } from 'node:fs/promises';

import test from 'ava';

import { openTestStore } from '../helpers/blob.ts';
import {
  asJson,
  describe,
  digestOf,
  prepareRegistryImage,
  putBytes,
  putRegistryImage,
} from '../helpers/registry-image.ts';
import { serve } from '../helpers/serving.ts';

const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
const ociIndex = 'application/vnd.oci.image.index.v1+json';

type Errors = { readonly errors: readonly { readonly code: string; readonly message: string }[] };

function codeOf(text: string): string | undefined {
  return (JSON.parse(text) as Errors).errors[0]?.code;
}

test('an image is served by its tag and its digest, with its blobs', async (t) => {
  const store = await openTestStore(t, true);
  const { manifest, blobs } = await putRegistryImage(store, { reference: 'docker.io/library/app:1' });
  const { ask } = await serve(t, store.dir);
  t.like(await ask('/v2/'), { status: 200, text: '{}' });

  for (const [name, type] of [
    ['1', 'tag'],
    [manifest.digest, 'digest'],
  ] as const) {
    const found = await ask(`/v2/docker.io/library/app/manifests/${name}`);
    t.is(found.status, 200);
    t.is(digestOf(found.bytes), manifest.digest);
    t.like(found.headers, {
      'content-type': ociManifest,
      'content-length': String(manifest.size),
      'docker-content-digest': manifest.digest,
      etag: `"${manifest.digest}"`,
    });
    t.is(found.headers.vary, type === 'tag' ? 'accept' : undefined);
    const head = await ask(`/v2/library/app/manifests/${name}`, { method: 'HEAD' });
    t.like(head, { status: 200, text: '' });
    t.is(head.headers['content-length'], String(manifest.size));
  }
  for (const digest of blobs) {
    const found = await ask(`/v2/library/app/blobs/${digest}`);
    t.is(digestOf(found.bytes), digest);
    t.is(found.headers['docker-content-digest'], digest);
    const head = await ask(`/v2/library/app/blobs/${digest}`, { method: 'HEAD' });
    t.deepEqual([head.status, head.headers['content-length']], [200, String(found.bytes.length)]);
  }
});

test('parts of a blob, and what the client has already', async (t) => {
  const store = await openTestStore(t, true);
  const layer = Buffer.from('0123456789');
  await putRegistryImage(store, { layer });
  const [path, etag] = [`/v2/library/app/blobs/${digestOf(layer)}`, `"${digestOf(layer)}"`];
  const { ask } = await serve(t, store.dir);
  const range = async (header: Readonly<Record<string, string>>) => {
    const { status, text, headers } = await ask(path, { headers: header });
    return [status, text, headers['content-range']];
  };
  t.deepEqual(await range({ range: 'bytes=2-4' }), [206, '234', 'bytes 2-4/10']);
  t.deepEqual(await range({ range: 'bytes=7-' }), [206, '789', 'bytes 7-9/10']);
  t.deepEqual(await range({ range: 'bytes=-3' }), [206, '789', 'bytes 7-9/10']);
  t.deepEqual(await range({ range: 'bytes=8-99', 'if-range': etag }), [206, '89', 'bytes 8-9/10']);
  t.deepEqual(await range({ range: 'bytes=8-', 'if-range': '"other"' }), [200, '0123456789', undefined]);
  const refused = await ask(path, { headers: { range: 'bytes=10-' } });
  t.deepEqual([refused.status, refused.headers['content-range']], [416, 'bytes */10']);
  t.deepEqual(await range({ range: 'bytes=0-1,3-4' }), [200, '0123456789', undefined]);
  t.deepEqual(await range({ range: 'bytes=4-2' }), [200, '0123456789', undefined]);
  t.deepEqual(await range({ 'if-none-match': `"a", ${etag}` }), [304, '', undefined]);
  t.deepEqual(await range({ 'if-none-match': '"a"' }), [200, '0123456789', undefined]);
});

test('an index is served if one of its images is whole, and the image to a client that knows no indexes', async (t) => {
  const store = await openTestStore(t, true);
  const image = await prepareRegistryImage(store, { content: 'amd64' });
  const missing = { ...describe(ociManifest, Buffer.from('arm64')), platform: { os: 'linux', architecture: 'arm64' } };
  const bytes = asJson({ schemaVersion: 2, mediaType: ociIndex, manifests: [missing, image.manifest] });
  await putBytes(store, bytes);
  const index = describe(ociIndex, bytes);
  await store.commitRegistryImage({ ...image, reference: 'quay.io/team/app:1', index });
  const { ask } = await serve(t, store.dir);
  const path = '/v2/quay.io/team/app/manifests';

  for (const accept of [undefined, '*/*', `${ociManifest}, ${ociIndex}; q=0.5`]) {
    const found = await ask(`${path}/1`, { headers: { ...(accept !== undefined && { accept }) } });
    t.is(found.headers['docker-content-digest'], index.digest, accept);
    t.is(found.headers['content-type'], ociIndex);
  }
  const one = await ask(`${path}/1`, { headers: { accept: ociManifest } });
  t.is(one.headers['docker-content-digest'], image.manifest.digest);
  t.is((await ask(`${path}/${index.digest}`, { headers: { accept: ociManifest } })).status, 200);
  const absent = await ask(`${path}/${missing.digest}`);
  t.deepEqual([absent.status, codeOf(absent.text)], [404, 'MANIFEST_UNKNOWN']);

  const [config] = image.blobs;
  await rm(store.digestPath(config ?? index.digest));
  for (const name of ['1', index.digest, image.manifest.digest]) {
    const refused = await ask(`${path}/${name}`);
    t.deepEqual([refused.status, codeOf(refused.text)], [404, 'MANIFEST_UNKNOWN'], name);
    t.regex(refused.text, /a part of it is missing/);
  }
});

test('a blob that is not as the store took it is hashed before it is sent, and never sent if it is another one', async (t) => {
  const store = await openTestStore(t, true);
  const layer = Buffer.alloc(100_000, 'a');
  const { manifest } = await putRegistryImage(store, { layer });
  const [path, file] = [`/v2/library/app/blobs/${digestOf(layer)}`, store.digestPath(digestOf(layer))];
  const { ask } = await serve(t, store.dir);
  await utimes(file, 1, 1); // as in a copy of the store
  t.true((await ask(path)).bytes.equals(layer));
  t.is((await ask('/v2/library/app/manifests/latest')).status, 200);

  await rm(file);
  await writeFile(file, Buffer.alloc(100_000, 'b'));
  const changed = await ask(path);
  t.deepEqual([changed.status, codeOf(changed.text)], [404, 'BLOB_UNKNOWN']);
  await writeFile(store.digestPath(manifest.digest), (await readFile(file)).subarray(0, manifest.size));
  const { bytes } = await ask('/v2/library/app/manifests/latest');
  t.is(digestOf(bytes), manifest.digest); // from memory
  t.is((await (await serve(t, store.dir)).ask('/v2/library/app/manifests/latest')).status, 404);
});

test('a name without a registry stands for Docker Hub, or for the only registry that has it', async (t) => {
  const store = await openTestStore(t, true);
  const put = (reference: string) => putRegistryImage(store, { reference, content: reference });
  const [hub, , quay, local] = [
    await put('docker.io/library/app:1'),
    await put('quay.io/library/app:1'),
    await put('quay.io/team/tool:1'),
    await put('localhost:5000/deep/ly/nested:1'),
  ];
  await put('ghcr.io/same/name:1');
  await put('gcr.io/same/name:1');
  const { ask } = await serve(t, store.dir);
  const digestAt = async (path: string) => (await ask(`/v2/${path}`)).headers['docker-content-digest'];
  t.is(await digestAt('app/manifests/1'), hub.manifest.digest);
  t.is(await digestAt('library/app/manifests/1'), hub.manifest.digest);
  t.is(await digestAt('team/tool/manifests/1'), quay.manifest.digest);
  t.is(await digestAt('deep/ly/nested/manifests/1'), local.manifest.digest);
  t.is(await digestAt('localhost:5000/deep/ly/nested/manifests/1'), local.manifest.digest);
  t.is(await digestAt('localhost%3A5000/deep%2Fly/nested/manifests/1'), local.manifest.digest);
  const ambiguous = await ask('/v2/same/name/manifests/1');
  t.deepEqual([ambiguous.status, codeOf(ambiguous.text)], [404, 'NAME_UNKNOWN']);
  t.regex(ambiguous.text, /gcr\.io, ghcr\.io: put one of them before the name/);

  t.is(await digestAt('library/app/manifests/1?ns=docker.io'), hub.manifest.digest);
  t.not(await digestAt('library/app/manifests/1?ns=quay.io'), hub.manifest.digest);
  t.is(await digestAt('team/tool/manifests/1?ns=docker.io'), undefined);
  t.is(await digestAt('deep/ly/nested/manifests/1?ns=localhost:5000'), local.manifest.digest);
  t.is((await ask('/v2/team/tool/manifests/1?ns=../..')).status, 400);
});

test('tags are listed in pages, in their order', async (t) => {
  const store = await openTestStore(t, true);
  const { manifest, ...image } = await prepareRegistryImage(store, {});
  const tags = ['1', '1.1', '1-a', '10', '2', 'A', 'a'];
  for (const tag of tags) await store.commitRegistryImage({ ...image, manifest, reference: `quay.io/app:${tag}` });
  await store.commitRegistryImage({ ...image, manifest, reference: `quay.io/app@${manifest.digest}` });
  await store.commitRegistryImage({ ...image, manifest, reference: 'quay.io/app/below:3' });
  const { ask } = await serve(t, store.dir);
  const sorted = ['1', '1-a', '1.1', '10', '2', 'A', 'a'];
  const all = await ask('/v2/quay.io/app/tags/list');
  t.deepEqual(JSON.parse(all.text), { name: 'quay.io/app', tags: sorted });
  t.is(all.headers['link'], undefined);

  const found: string[] = [];
  let next: string | undefined = '/v2/app/tags/list?ns=quay.io&n=3';
  for (let pages = 1; next !== undefined; pages += 1) {
    const page = await ask(next);
    found.push(...(JSON.parse(page.text) as { tags: string[] }).tags);
    next = /^<(.*)>; rel="next"$/.exec(page.headers['link'] as string)?.[1];
    t.is(next === undefined, pages === 3);
  }
  t.deepEqual(found, sorted);
  t.deepEqual(JSON.parse((await ask('/v2/quay.io/app/tags/list?n=0')).text), { name: 'quay.io/app', tags: [] });
  t.deepEqual(JSON.parse((await ask('/v2/quay.io/app/tags/list?last=2')).text), {
    name: 'quay.io/app',
    tags: ['A', 'a'],
  });
  t.is(codeOf((await ask('/v2/quay.io/app/tags/list?n=-1')).text), 'PAGINATION_NUMBER_INVALID');
  t.is(codeOf((await ask('/v2/quay.io/none/tags/list')).text), 'NAME_UNKNOWN');
});

test('repositories are listed only if that was asked for', async (t) => {
  const store = await openTestStore(t, true);
  const image = await prepareRegistryImage(store, {});
  const names = ['a.io/b', 'a.io/b-c', 'a.io/b/c', 'b.io:5000/a', 'docker.io/library/app'];
  for (const name of names) {
    for (const tag of ['1', '2']) await store.commitRegistryImage({ ...image, reference: `${name}:${tag}` });
    await store.commitRegistryImage({ ...image, reference: `${name}@${image.manifest.digest}` });
  }
  t.is((await (await serve(t, store.dir)).ask('/v2/_catalog')).status, 404);
  const { ask } = await serve(t, store.dir, { catalog: true });
  const found: string[] = [];
  for (let next: string | undefined = '/v2/_catalog?n=2'; next !== undefined;) {
    const page = await ask(next);
    found.push(...(JSON.parse(page.text) as { repositories: string[] }).repositories);
    next = /^<(.*)>; rel="next"$/.exec(page.headers['link'] as string)?.[1];
  }
  t.deepEqual(found.toSorted(), names);
  for (const name of found) t.is((await ask(`/v2/${name}/tags/list`)).status, 200, name);
});

test('what is attached to an image is listed where it was fetched with it, else unknown', async (t) => {
  const store = await openTestStore(t, true);
  const image = await prepareRegistryImage(store, {});
  const attach = async (artifactType: string, tag?: string) => {
    const bytes = asJson({
      ...{ schemaVersion: 2, mediaType: ociManifest, artifactType, annotations: { of: artifactType } },
      config: describe('application/vnd.oci.empty.v1+json', Buffer.from('{}')),
      ...{ layers: [], subject: image.manifest },
    });
    await putBytes(store, bytes);
    const about = { ...describe(ociManifest, bytes), artifactType, subject: image.manifest.digest };
    return { ...about, ...(tag !== undefined && { tag }) };
  };
  const empty = await putBytes(store, Buffer.from('{}'));
  const tag = `${image.manifest.digest.replace(':', '-')}.sig`;
  const referrers = [await attach('example/sbom'), await attach('example/note'), await attach('example/sig', tag)];
  const blobs = [...image.blobs, empty, ...referrers.map(({ digest }) => digest)];
  await store.commitRegistryImage({ ...image, blobs, referrers, reference: 'quay.io/with:1' });
  await store.commitRegistryImage({ ...image, reference: 'quay.io/without:1' });
  const { ask } = await serve(t, store.dir);

  const all = await ask(`/v2/quay.io/with/referrers/${image.manifest.digest}`);
  t.is(all.headers['content-type'], ociIndex);
  const listed = JSON.parse(all.text) as { mediaType: string; manifests: { artifactType: string }[] };
  t.deepEqual([listed.mediaType, listed.manifests.length], [ociIndex, 2]);
  const [sbom] = referrers;
  const some = await ask(`/v2/quay.io/with/referrers/${image.manifest.digest}?artifactType=example%2Fsbom`);
  t.is(some.headers['oci-filters-applied'], 'artifactType');
  t.like(JSON.parse(some.text), {
    manifests: [{ digest: sbom?.digest, artifactType: 'example/sbom', annotations: { of: 'example/sbom' } }],
  });
  t.is((await ask(`/v2/quay.io/with/manifests/${sbom?.digest}`)).status, 200);
  t.is((await ask(`/v2/quay.io/with/manifests/${tag}`)).headers['docker-content-digest'], referrers[2]?.digest);
  t.is((await ask(`/v2/quay.io/without/referrers/${image.manifest.digest}`)).status, 404);
  t.is((await ask(`/v2/quay.io/without/manifests/${tag}`)).status, 404);
});

test('an image that another process brings or removes is seen, and what is not listed is not served', async (t) => {
  const store = await openTestStore(t, true);
  const { ask } = await serve(t, store.dir);
  const path = '/v2/library/app/manifests/latest';
  t.is((await ask(path)).status, 404);
  const prepared = await prepareRegistryImage(store, {});
  for (const digest of prepared.blobs) t.is((await ask(`/v2/library/app/blobs/${digest}`)).status, 404);
  await store.commitRegistryImage(prepared);
  t.is((await ask(path)).status, 200);
  for (const digest of prepared.blobs) t.is((await ask(`/v2/library/other/blobs/${digest}`)).status, 404);
  await store.removeRegistryImage(prepared.reference);
  t.is((await ask(path)).status, 404);
});
