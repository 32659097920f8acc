import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import test from 'ava';

import type { Proof } from '../../src/image/proof.ts';
import { schemaSteps } from '../../src/store/index/writer/open-index.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Commit, Store, StoredImage } from '../../src/store/store.ts';
import { idOf, openTestStore, prepareBlob, stampNow, storeDirectory } from '../helpers/blob.ts';
import { digestOf, putBytes, putRegistryImage } from '../helpers/registry-image.ts';

const day = 24 * 60 * 60 * 1000;
const later = { nowMs: Date.now() + 2 * day, partialsOlderThanMs: day };
const content = Buffer.from('an image');

async function prepareArchive(store: Store, bytes: Uint8Array): Promise<NonNullable<Commit['archive']>> {
  const path = store.temporaryPath();
  await writeFile(path, bytes);
  return { path, stamp: stampNow(path), digest: digestOf(bytes), size: bytes.length, compression: 'gzip' };
}

function signatureOf(bytes: Uint8Array, signer: string): Proof {
  return {
    kind: 'openpgp',
    bytes: Buffer.from(`${signer} signs`),
    digests: [Buffer.of(1)],
    covers: digestOf(bytes),
    signedBy: [signer],
  };
}

/** Commits an image with its archive, signed if there is a signer. */
async function keep(store: Store, archive: string, signer?: string, image = content): Promise<StoredImage> {
  const bytes = Buffer.from(archive);
  return store.commit({
    ...(await prepareBlob(store, { content: image, verified: signer === undefined ? false : [signer] })),
    archive: await prepareArchive(store, bytes),
    ...(signer !== undefined && { proofs: [signatureOf(bytes, signer)] }),
  });
}

/** The signers of what archiveOf gives, after its digest. */
async function told(store: Store): Promise<readonly unknown[]> {
  const archive = await store.archiveOf(idOf(content));
  return archive ? [archive.digest, ...archive.signatures.flatMap(({ signedBy }) => signedBy)] : [];
}

test('an archive is kept as it was transferred, and given with the signatures that are about it', async (t) => {
  const store = await openTestStore(t);
  const bytes = Buffer.from('packed');
  const image = await keep(store, 'packed', 'aa');
  const archive = { digest: digestOf(bytes), size: 6, compression: 'gzip' };
  t.deepEqual(image.archive, archive);
  const found = await store.archiveOf(image.imageId);
  t.like(found, { ...archive, path: store.digestPath(archive.digest), source: image.source });
  t.is(Buffer.from(found?.signatures[0]?.bytes ?? []).toString(), 'aa signs');
  t.is(await store.digestState(archive.digest, archive.size), 'intact');
  t.deepEqual(await Array.fromAsync(store.blobRows()), [
    { digest: archive.digest, size: 6, needed: true, isArchive: true },
  ]);
  t.deepEqual(await Array.fromAsync(store.unlistedBlobs()), []);
});

test('an image without its archive has none to give', async (t) => {
  const store = await openTestStore(t);
  const { imageId, archive } = await store.commit(await prepareBlob(store, { content }));
  t.is(archive, undefined);
  t.is(await store.archiveOf(imageId), undefined);
});

test('an archive stays when its image is imported again without one, and gc keeps it', async (t) => {
  const store = await openTestStore(t);
  await keep(store, 'packed', 'aa');
  const image = await store.commit(await prepareBlob(store, { content }));
  t.like(image.archive, { digest: digestOf(Buffer.from('packed')) });
  t.is((await store.collect(later)).blobs, 0);
  t.deepEqual(await told(store), [digestOf(Buffer.from('packed')), 'aa']);
});

test('another archive takes the place of the first one, unless only the first one is signed', async (t) => {
  const store = await openTestStore(t);
  const [one, two, three] = ['one', 'two', 'three'].map((text) => digestOf(Buffer.from(text)));
  await keep(store, 'one');
  await keep(store, 'two');
  t.deepEqual(await told(store), [two]);
  await keep(store, 'one', 'aa');
  t.deepEqual(await told(store), [one, 'aa']);
  await keep(store, 'two');
  t.deepEqual(await told(store), [one, 'aa']);
  await keep(store, 'three', 'bb');
  t.deepEqual(await told(store), [three, 'bb']);
  t.is((await store.collect(later)).blobs, 2, 'what nothing needs any more');
});

test('the signature of a kept archive stays when its signers sign another archive of the image', async (t) => {
  const store = await openTestStore(t);
  await keep(store, 'one', 'aa');
  for (const text of ['two', 'three']) {
    const proofs = [signatureOf(Buffer.from(text), 'aa')];
    await store.commit({ ...(await prepareBlob(store, { content, verified: ['aa'] })), proofs });
  }
  t.deepEqual(await told(store), [digestOf(Buffer.from('one')), 'aa']);
  const covers = (await store.proofsOf(idOf(content))).map((proof) => proof.covers);
  t.deepEqual(covers.toSorted(), ['one', 'three'].map((text) => digestOf(Buffer.from(text))).toSorted());
});

test('an archive goes with its image, unless something else needs the same blob', async (t) => {
  const store = await openTestStore(t);
  const bytes = Buffer.from('packed');
  const digest = digestOf(bytes);
  const first = await keep(store, 'packed');
  const second = await keep(store, 'packed', undefined, Buffer.from('another'));
  t.is(await store.remove(first.imageId), content.length);
  t.true(await store.hasBlob(digest));
  t.is(await store.remove(second.imageId), 'another'.length + bytes.length);
  t.false(existsSync(store.digestPath(digest)));
  t.deepEqual(await Array.fromAsync(store.blobRows()), []);

  const registryImage = await putRegistryImage(store, { content: 'packed layer' });
  const layer = registryImage.blobs.find((blob) => blob !== registryImage.manifest.digest) ?? digest;
  const layerBytes = await readFile(store.digestPath(layer));
  const shared = await store.commit({
    ...(await prepareBlob(store, { content })),
    archive: await prepareArchive(store, layerBytes),
  });
  await store.removeRegistryImage(registryImage.reference);
  t.true(await store.hasBlob(layer));
  await store.remove(shared.imageId);
  t.false(existsSync(store.digestPath(layer)));
});

test('an image whose archive is damaged stays listed without it', async (t) => {
  const store = await openTestStore(t);
  const { imageId } = await keep(store, 'packed', 'aa');
  t.deepEqual(await store.dropBlob(digestOf(Buffer.from('packed'))), []);
  t.is((await store.getImage(imageId))?.archive, undefined);
  t.false(existsSync(store.digestPath(digestOf(Buffer.from('packed')))));
  t.is((await store.proofsOf(imageId)).length, 1);
});

test('if an image cannot be committed, its archive does not stay', async (t) => {
  const store = await openTestStore(t);
  const commit = { ...(await prepareBlob(store)), archive: await prepareArchive(store, Buffer.from('packed')) };
  await rm(commit.path);
  await t.throwsAsync(store.commit(commit));
  t.deepEqual(await Array.fromAsync(store.images()), []);
  t.deepEqual(await Array.fromAsync(store.blobRows()), []);
  t.false(existsSync(commit.archive.path));
});

test('if the archive is not the file that was hashed, the image is not committed', async (t) => {
  const store = await openTestStore(t);
  const commit = { ...(await prepareBlob(store)), archive: await prepareArchive(store, Buffer.from('packed')) };
  await writeFile(commit.archive.path, 'other!');
  await t.throwsAsync(store.commit(commit), { code: 'STORE_CORRUPT', message: /not the file of 6 bytes/ });
  t.deepEqual(await Array.fromAsync(store.images()), []);
  t.deepEqual(await Array.fromAsync(store.unreferenced()), []);
});

test('an archive that another image has already is not stored twice', async (t) => {
  const store = await openTestStore(t);
  const digest = await putBytes(store, Buffer.from('packed'));
  const before = stampNow(store.digestPath(digest));
  await keep(store, 'packed');
  t.deepEqual(stampNow(store.digestPath(digest)), before);
  t.is((await store.collect(later)).blobs, 0);
});

test('proofs that a store of version 6 has are there after it was brought up to date', async (t) => {
  const dir = await storeDirectory(t);
  await using made = await openStore({ dir });
  await made.close();
  await rm(join(dir, 'index.sqlite'));
  const db = new DatabaseSync(join(dir, 'index.sqlite'));
  db.exec('PRAGMA journal_mode = WAL');
  for (const step of schemaSteps.slice(0, 6)) db.exec(step);
  db.exec("INSERT INTO proofs VALUES ('docker.io/library/app:1', 'policy', '[]', 'sha256:00', '{}', x'7b7d')");
  db.exec('PRAGMA user_version = 6');
  db.close();
  await using store = await openStore({ dir });
  t.like(await store.proofsOf('docker.io/library/app:1'), [{ kind: 'policy', covers: 'sha256:00' }]);
});

test('whether a blob is needed is looked up by its digest, however many images there are', (t) => {
  const db = new DatabaseSync(':memory:');
  for (const step of schemaSteps) db.exec(step);
  const plan = db.prepare("EXPLAIN QUERY PLAN SELECT 1 FROM needed_blobs WHERE digest = 'a'").all();
  const steps = plan.map(({ detail }) => String(detail)).filter((detail) => /images|registry_blobs/.test(detail));
  t.is(steps.length, 2);
  for (const step of steps) t.regex(step, /^SEARCH .* USING (?:COVERING )?INDEX/);
});
