import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { codesOf, openFetching } from '../helpers/fetching.ts';
import { openGpg } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';
import { openTrust } from '../helpers/trust.ts';

const gpg = await openGpg();
const key = await gpg.createKey();
const stranger = await gpg.createKey();
test.after.always(() => gpg.close());

const name = 'example.com/foo';

/** A store that verifies with `key`, trusted for a prefix, and an origin that signs with it. */
async function verifying(t: ExecutionContext, prefix = name) {
  const keystore = await openTrust(t, gpg, { [prefix]: key });
  const origin = await startOrigin(t, { sign: (bytes) => gpg.sign(key, bytes) });
  const fetching = await openFetching(t, { keystore, discover: origin.discover });
  /** Nothing came into the store, and nothing is left of the attempt. */
  const isEmpty = async () => {
    t.deepEqual(await fetching.listed(), []);
    t.deepEqual(await fetching.leftovers(), []);
  };
  return { ...fetching, keystore, origin, isEmpty };
}

test('a signed image is fetched by URL and by name, armored or not, and the outcome has its signers', async (t) => {
  const { fetch, store, origin } = await verifying(t);
  const armored = await origin.publish({ name, version: '1' });
  const binary = await origin.publish({ name, version: '2' });
  origin.routes[`${binary.path}.asc`] = { body: await gpg.sign(key, binary.bytes, { armor: false }) };
  t.like(await fetch(armored.url), { status: 'fetched', signedBy: [key] });
  t.like(await fetch(`${name}:2`), { status: 'fetched', signedBy: [key] });
  t.like(await store.getImage(binary.imageId), { verified: [key], weak: false });
  t.like(await fetch(armored.imageId), { status: 'present', signedBy: [key] });
});

test('an unsigned image is refused, and not requested by GET', async (t) => {
  const { fetch, origin, isEmpty } = await verifying(t);
  const { url, path } = await origin.publish({ name, version: '1' });
  origin.routes[`${path}.asc`] = { status: 404 };
  for (const reference of [url, `${name}:1`]) {
    t.deepEqual(codesOf(await fetch(reference)), ['SIGNATURE_MISSING', 'HTTP_STATUS'], reference);
  }
  t.is(origin.served(path), 0);
  await isEmpty();
});

test('if the image is missing too, the error is about the image', async (t) => {
  const { fetch, origin, isEmpty } = await verifying(t);
  const { error } = await fetch(`${origin.url}/missing.aci`);
  t.like(error, { code: 'HTTP_STATUS', details: { status: 404, url: `${origin.url}/missing.aci` } });
  await isEmpty();
});

test('a signature that needs a password, or is a web page, is refused', async (t) => {
  const { fetch, origin, isEmpty } = await verifying(t);
  const { url, path } = await origin.publish({ name, version: '1' });
  origin.routes[`${path}.asc`] = { status: 401 };
  const { error } = await fetch(url);
  t.like(error, { code: 'HTTP_STATUS', details: { status: 401, url: `${url}.asc` } });
  t.true(error?.message.includes(`the signature ${url}.asc`), error?.message);
  origin.routes[`${path}.asc`] = { body: '<!doctype html><title>Sign in</title>' };
  t.like((await fetch(url)).error, { code: 'SIGNATURE_UNREADABLE', details: { location: `${url}.asc` } });
  t.deepEqual(codesOf(await fetch(`${name}:1`)), ['SIGNATURE_UNREADABLE']);
  origin.routes[`${path}.asc`] = { body: Buffer.alloc(2 ** 20 + 1, 'x') };
  t.like((await fetch(url)).error, { code: 'LIMIT_EXCEEDED', details: { limit: 'signature' } });
  await isEmpty();
});

test('a key that is unknown, or trusted for a sibling, is not accepted', async (t) => {
  const { fetch, origin, isEmpty } = await verifying(t);
  const strange = await origin.publish({ name, version: '1' });
  origin.routes[`${strange.path}.asc`] = { body: await gpg.sign(stranger, strange.bytes) };
  const sibling = await origin.publish({ name: `${name}bar`, version: '1' });
  for (const reference of [strange.url, `${name}:1`, sibling.url, `${name}bar:1`]) {
    t.deepEqual(codesOf(await fetch(reference)), ['KEY_UNKNOWN'], reference);
  }
  const { error } = await fetch(strange.url);
  t.like(error?.details, { name, searched: ['root', 'example.com', name] });
  t.is(origin.served(sibling.path), 1, 'by URL; by name the signer is checked before');
  await isEmpty();
});

test('a signature of another file is refused, also when its image is the same', async (t) => {
  const { fetch, origin, isEmpty } = await verifying(t);
  const plain = await origin.publish({ name, version: '1' });
  const packed = await origin.publish({ name, version: '1', compress: 'gzip' });
  origin.routes[`${packed.path}.asc`] = { body: await gpg.sign(key, plain.bytes) };
  t.deepEqual(codesOf(await fetch(packed.url)), ['SIGNATURE_INVALID']);
  t.deepEqual(codesOf(await fetch(`${name}:1`)), ['SIGNATURE_INVALID']);
  await isEmpty();
});

test('for a name the signer is checked before the image is requested', async (t) => {
  const { fetch, origin, isEmpty } = await verifying(t);
  const { path, bytes } = await origin.publish({ name, version: '1' });
  origin.routes[`${path}.asc`] = { body: await gpg.sign(stranger, bytes) };
  t.deepEqual(codesOf(await fetch(`${name}:1`)), ['KEY_UNKNOWN']);
  t.false(origin.requests.some(({ url }) => url === path));
  await isEmpty();
});

test('a given signature is used instead of the one beside the image, by URL, name and path', async (t) => {
  const { directory, finder, origin } = await verifying(t);
  const signature = join(directory, 'mine.asc');
  const { url, bytes, path, imageId } = await origin.publish({ name, version: '1' });
  await writeFile(signature, await gpg.sign(key, bytes));
  const archive = join(directory, 'app.aci');
  await writeFile(archive, bytes);
  for (const image of [url, archive, `${name}:1`]) {
    t.is(await finder({ noCache: true, noStore: true }).findImage(image, { signature }), imageId, image);
  }
  t.is(origin.served(`${path}.asc`), 0);
  await t.throwsAsync(finder().findImage(archive), { code: 'SIGNATURE_MISSING' });
  const away = join(directory, 'away.asc');
  const error = { code: 'SIGNATURE_MISSING', message: /away\.asc/ };
  await t.throwsAsync(finder({ noCache: true }).findImage(url, { signature: away }), error);
});

test('an image stored without verification is fetched again if verification is required', async (t) => {
  const { fetch, origin, store } = await verifying(t);
  const headers = { 'cache-control': 'max-age=86400' };
  const { url, path, imageId } = await origin.publish({ name, version: '1' }, { etag: '"1"', headers });
  const lax = await fetch(url, { insecure: { image: true } });
  t.like(lax, { status: 'fetched', signedBy: [] });
  t.is(origin.served(`${path}.asc`), 0);
  t.deepEqual(codesOf(await fetch(imageId)), ['SIGNATURE_MISSING']);
  t.deepEqual(codesOf(await fetch(url, { storeOnly: true })), ['NOT_IN_STORE']);
  t.deepEqual(codesOf(await fetch(`${name}:1`, { storeOnly: true })), ['NOT_IN_STORE']);
  t.like(await fetch(`${name}:1`), { status: 'fetched', signedBy: [key] });
  t.is(origin.requests.at(-1)?.headers['if-none-match'], undefined);
  t.like(await fetch(url), { status: 'present', signedBy: [key] });
  t.like(await fetch(url, { insecure: { image: true }, noCache: true }), { status: 'fetched', signedBy: [key] });
  t.deepEqual((await store.getImage(imageId))?.verified, [key], 'to bring it again unverified takes nothing away');
});

test('an image verified by a key that is not trusted now is fetched again, or KEY_UNKNOWN', async (t) => {
  const { fetch, keystore, origin, store } = await verifying(t);
  const headers = { 'cache-control': 'max-age=86400' };
  const { url, path, bytes, imageId } = await origin.publish({ name, version: '1' }, { etag: '"1"', headers });
  t.like(await fetch(url), { status: 'fetched', signedBy: [key] });

  const other = await openTrust(t, gpg, { [name]: stranger });
  for (const reference of [url, `${name}:1`, imageId]) {
    const { error } = await fetch(reference, { keystore: other, storeOnly: true });
    t.like(error, { code: 'KEY_UNKNOWN', details: { signers: [key], name, searched: ['root', 'example.com', name] } });
  }
  t.deepEqual(codesOf(await fetch(imageId, { keystore: other })), ['KEY_UNKNOWN']);
  for (const reference of [url, `${name}:1`])
    t.deepEqual(codesOf(await fetch(reference, { keystore: other })), ['KEY_UNKNOWN'], 'its signature is read again');
  t.is(origin.served(path), 2, 'by URL; by name the signer is checked before');
  t.like(await fetch(url), { status: 'present', signedBy: [key] });

  origin.routes[`${path}.asc`] = { body: await gpg.sign(stranger, bytes) };
  t.like(await fetch(url, { keystore: other }), { status: 'fetched', imageID: imageId });
  t.deepEqual((await store.getImage(imageId))?.verified, [key, stranger], 'signers add up');
  t.like(await fetch(url, { keystore: other }), { status: 'present' });
  t.like(await fetch(url), { status: 'present' });

  await keystore.remove({ fingerprint: key, prefix: name, layer: 0 });
  t.deepEqual(codesOf(await fetch(imageId)), ['KEY_UNKNOWN'], 'nor after it was removed from the same keystore');
  t.like(await fetch(imageId, { insecure: { image: true } }), { status: 'present' });
});

test('a dependency that was verified by a key that is not trusted now is fetched again', async (t) => {
  const { fetch, origin } = await verifying(t, 'example.com');
  const base = await origin.publish({ name: 'example.com/base', version: '1' });
  const app = await origin.publish({
    name,
    version: '1',
    dependencies: [{ imageName: 'example.com/base', labels: [{ name: 'version', value: '1' }] }],
  });
  t.like(await fetch(app.url), { status: 'fetched' });
  const other = await openTrust(t, gpg, { [name]: key, 'example.com/base': stranger });
  t.deepEqual(codesOf(await fetch(app.url, { keystore: other })), ['DEPENDENCY_FAILED', 'KEY_UNKNOWN']);
  origin.routes[`${base.path}.asc`] = { body: await gpg.sign(stranger, base.bytes) };
  t.like(await fetch(app.url, { keystore: other }), { status: 'fetched', signedBy: [key] });
  t.is(origin.served(base.path), 2);
});

test('a weak signature passes only with weak-keys, is recorded, and is not accepted without it', async (t) => {
  const { fetch, keystore, origin, store } = await verifying(t);
  const old = await gpg.createKey({ algorithm: 'rsa2048' });
  await keystore.add({ certificate: await gpg.certificate(old), fingerprint: old, prefix: name, layer: 0 });
  const { url, path, bytes, imageId } = await origin.publish({ name, version: '1' });
  origin.routes[`${path}.asc`] = { body: await gpg.sign(old, bytes, { digest: 'SHA1' }) };
  t.deepEqual(codesOf(await fetch(url)), ['KEY_WEAK']);
  t.like(await fetch(url, { insecure: { weakKeys: true } }), { status: 'fetched', signedBy: [old] });
  t.like(await store.getImage(imageId), { weak: true });
  t.deepEqual(codesOf(await fetch(imageId)), ['SIGNATURE_MISSING']);
  t.deepEqual(codesOf(await fetch(`${name}:1`)), ['KEY_WEAK']);
  t.like(await fetch(imageId, { insecure: { weakKeys: true } }), { status: 'present' });
});

test('who has signed with a weak key does not count once a strong key has, which is no longer trusted', async (t) => {
  const { fetch, keystore, origin, store } = await verifying(t);
  const old = await gpg.createKey({ algorithm: 'dsa2048' });
  await keystore.add({ certificate: await gpg.certificate(old), fingerprint: old, prefix: name, layer: 0 });
  const { url, path, bytes, imageId } = await origin.publish({ name, version: '1' });
  await fetch(url);
  origin.routes[`${path}.asc`] = { body: await gpg.sign(old, bytes) };
  t.like(await fetch(url, { insecure: { weakKeys: true } }), { status: 'fetched', signedBy: [key] });
  t.like(await fetch(imageId), { status: 'present' });
  t.like(await store.getImage(imageId), { verified: [key], weak: false });
  await keystore.remove({ fingerprint: key, prefix: name, layer: 0 });
  t.deepEqual(codesOf(await fetch(imageId)), ['KEY_UNKNOWN']);
  t.deepEqual(codesOf(await fetch(url)), ['KEY_WEAK']);
});

test('an unchanged image needs no signature; a changed one needs its own', async (t) => {
  const { fetch, origin, listed } = await verifying(t);
  const { url, path } = await origin.publish({ name, version: '1' }, { etag: '"1"' });
  await fetch(url);
  t.like(await fetch(url), { status: 'present' });
  t.is(origin.served(`${path}.asc`), 1);
  const next = await buildAci({ name, version: '1', size: 100 });
  origin.routes[path] = { body: next.bytes, etag: '"2"' };
  t.deepEqual(codesOf(await fetch(url)), ['SIGNATURE_INVALID']);
  t.is((await listed()).length, 1);
  origin.routes[`${path}.asc`] = { body: await gpg.sign(key, next.bytes) };
  t.like(await fetch(url), { status: 'fetched', imageID: next.imageId, signedBy: [key] });
});
