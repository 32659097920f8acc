import { existsSync } from 'node:fs';
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import test from 'ava';

import { openStore } from '../../src/store/open-store.ts';
import { openTestStore, storeDirectory } from '../helpers/blob.ts';
import { describe, namesInIndex, putBytes, putRegistryImage, readIndexJson } from '../helpers/registry-image.ts';
import { startStoreProcess } from '../helpers/store-process.ts';

const foreignDigest = `sha256:${'f'.repeat(64)}`;

function foreignEntry(name?: string, digest = foreignDigest): object {
  return {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest,
    size: 3,
    ...(name !== undefined && { annotations: { 'org.opencontainers.image.ref.name': name, mine: 'yes' } }),
  };
}

/** Adds to index.json as another tool does: read, write beside it, rename. */
async function addForeign(dir: string, ...entries: readonly object[]): Promise<void> {
  const path = join(dir, 'index.json');
  const document = JSON.parse(await readFile(path, 'utf8')) as { readonly manifests: readonly unknown[] };
  await writeFile(`${path}.new`, JSON.stringify({ ...document, manifests: [...document.manifests, ...entries] }));
  await rename(`${path}.new`, path);
}

test('index.json names a registry image by its manifest, platform and complete reference', async (t) => {
  const store = await openTestStore(t);
  const reference = 'docker.io/library/busybox:1';
  const platform = { os: 'linux', architecture: 'arm', variant: 'v7' };
  const { manifest } = await putRegistryImage(store, { reference, platform });

  await store.writeOciIndex();

  const annotations = { 'org.opencontainers.image.ref.name': reference, 'io.containerd.image.name': reference };
  t.deepEqual(await readIndexJson(store.dir), [{ ...manifest, platform, annotations }] as unknown);
  t.like(JSON.parse(await readFile(join(store.dir, 'index.json'), 'utf8')), {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
  });
  t.is((await stat(join(store.dir, 'index.json'))).mode & 0o777, 0o644);
});

test('the manifest derived from a docker one is named in its place', async (t) => {
  const store = await openTestStore(t);
  const bytes = Buffer.from('{"schemaVersion":2}');
  await putBytes(store, bytes);
  const oci = describe('application/vnd.oci.image.manifest.v1+json', bytes);
  await putRegistryImage(store, { oci });
  await store.writeOciIndex();
  t.like((await readIndexJson(store.dir))[0], oci);
});

test('index.json is updated automatically, but not for every image', async (t) => {
  const store = await openTestStore(t);
  const files = new Set<number>();
  const startedAt = performance.now();
  for (let count = 0; count < 40; count += 1) {
    await putRegistryImage(store, { content: String(count) });
    files.add((await stat(join(store.dir, 'index.json'))).mtimeMs);
  }
  const most = 2 + (performance.now() - startedAt) / 1000;
  t.true(files.size <= most, `${files.size} files for 40 images`);
  while ((await namesInIndex(store.dir)).length < 40) await setTimeout(20);
  t.pass();
});

test('entries of other tools stay, whatever we add and remove', async (t) => {
  const store = await openTestStore(t);
  const { reference } = await putRegistryImage(store, { content: '1' });
  await store.writeOciIndex();
  const entries = [foreignEntry('theirs'), foreignEntry(), foreignEntry(undefined, `sha512:${'a'.repeat(128)}`)];
  await addForeign(store.dir, ...entries);

  await putRegistryImage(store, { content: '2' });
  await store.close();
  t.is((await readIndexJson(store.dir)).length, 5);

  await using again = await openStore({ dir: store.dir });
  await again.removeRegistryImage(reference);
  await again.removeRegistryImage('docker.io/library/app:2');
  t.deepEqual(await readIndexJson(store.dir), entries as unknown);
});

test('unknown members of index.json are kept', async (t) => {
  const store = await openTestStore(t);
  const members = { schemaVersion: 2, annotations: { theirs: 'x' }, artifactType: 'y' };
  await writeFile(join(store.dir, 'index.json'), JSON.stringify({ ...members, manifests: null }));
  await putRegistryImage(store);
  await store.writeOciIndex();
  t.like(JSON.parse(await readFile(join(store.dir, 'index.json'), 'utf8')), members);
  t.is((await readIndexJson(store.dir)).length, 1);
});

test('a reference that moved is named once, with its current manifest', async (t) => {
  const store = await openTestStore(t);
  const reference = 'docker.io/library/app:1';
  await putRegistryImage(store, { reference, content: 'old' });
  await store.writeOciIndex();
  const { manifest } = await putRegistryImage(store, { reference, content: 'new' });
  await store.close();
  t.deepEqual(
    (await readIndexJson(store.dir)).map(({ digest }) => digest),
    [manifest.digest],
  );
});

test('a name that another tool gave to another manifest stays theirs until we fetch it again', async (t) => {
  const store = await openTestStore(t);
  const reference = 'docker.io/library/app:1';
  const { manifest } = await putRegistryImage(store, { reference });
  await store.writeOciIndex();
  await writeFile(
    join(store.dir, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [foreignEntry(reference)] }),
  );

  const namedBy = async (): Promise<readonly string[]> => {
    await store.writeOciIndex();
    const entries = await readIndexJson(store.dir);
    return entries.flatMap(({ digest, annotations }) =>
      annotations?.['org.opencontainers.image.ref.name'] === reference ? [digest] : [],
    );
  };
  // What they wrote does not say which generation it shows, so all of ours counts as newer.
  t.deepEqual(await namedBy(), [manifest.digest]);

  const path = join(store.dir, 'index.json');
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace(manifest.digest, foreignDigest));
  await putRegistryImage(store, { content: 'another' });
  t.deepEqual(await namedBy(), [foreignDigest]);

  await putRegistryImage(store, { reference });
  t.deepEqual(await namedBy(), [manifest.digest]);
});

test('images that several processes commit at once are all named', async (t) => {
  const dir = await storeDirectory(t);
  const names = ['a', 'b', 'c'];
  const processes = names.map((name) => startStoreProcess(t, ['registry', dir, name, '10']));
  t.deepEqual(await Promise.all(processes.map((process) => process.ended())), [0, 0, 0]);
  const expected = names.flatMap((name) => Array.from({ length: 10 }, (_, at) => `docker.io/library/app:${name}${at}`));
  t.deepEqual(await namesInIndex(dir), expected.sort());
});

test('after a kill between commit and index.json the next opening names the committed image', async (t) => {
  for (let round = 0; round < 10; round += 1) {
    const dir = await storeDirectory(t);
    const process = startStoreProcess(t, ['registryThenWait', dir, '3']);
    t.is(await process.line(), '3');
    await process.kill();
    const written = (await namesInIndex(dir)).length;

    await using _store = await openStore({ dir });

    while ((await namesInIndex(dir)).length < 3) await setTimeout(10);
    if (written < 3) return;
  }
  t.fail('it always had time to write index.json');
});

test('a deleted index.json is written again when the store is opened', async (t) => {
  const store = await openTestStore(t);
  const { reference } = await putRegistryImage(store);
  await store.close();
  await rm(join(store.dir, 'index.json'));
  await (await openStore({ dir: store.dir })).close();
  t.deepEqual(await namesInIndex(store.dir), [reference]);
});

test('an index.json that cannot be read is left alone unless a repair is requested', async (t) => {
  const store = await openTestStore(t);
  const path = join(store.dir, 'index.json');
  for (const damaged of ['', '{', '[]', '{"schemaVersion":1,"manifests":[]}', '{"schemaVersion":2,"manifests":[{}]}']) {
    await writeFile(path, damaged);
    await putRegistryImage(store, { content: String(damaged.length) });
    await t.throwsAsync(store.writeOciIndex(), { code: 'STORE_CORRUPT', message: /index\.json.*verify --repair/ });
    t.is(await readFile(path, 'utf8'), damaged);
  }
  await store.writeOciIndex({ setAsideDamagedAtMs: 7 });
  t.is((await readIndexJson(store.dir)).length, 5);
  t.true(existsSync(`${path}.damaged-7`));
});
