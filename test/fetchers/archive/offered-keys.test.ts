import { setTimeout as sleep } from 'node:timers/promises';

import test from 'ava';

import { codesOf, openFetching } from '../../helpers/fetching.ts';
import { held } from '../../helpers/held.ts';
import { openGpg } from '../../helpers/keys.ts';
import { startOrigin } from '../../helpers/origin.ts';
import { openTrust } from '../../helpers/trust.ts';
import { until } from '../../helpers/until.ts';

const gpg = await openGpg();
const key = await gpg.createKey();
test.after.always(() => gpg.close());

const name = 'example.com/app';

test('keys of a page are trusted only over https, only if that is enabled, and with a warning', async (t) => {
  const origin = await startOrigin(t, { https: true, sign: (bytes) => gpg.sign(key, bytes) });
  const keystore = await openTrust(t, gpg, {});
  const { fetch } = await openFetching(t, { keystore, discover: origin.discover, ca: [origin.ca] });
  await origin.publish({ name, version: '1' });
  const offer = (url: string) => `<meta name="ac-discovery-pubkeys" content="example.com ${url}/keys.asc">`;
  const tags = String(origin.routes['/example.com']?.body);
  origin.routes['/keys.asc'] = { body: await gpg.certificate(key) };
  origin.routes['/example.com'] = { body: tags + offer(origin.url) };

  t.deepEqual(codesOf(await fetch(`${name}:1`)), ['KEY_UNKNOWN']);
  t.deepEqual(await keystore.list(), []);
  t.is(origin.served('/keys.asc'), 0);

  origin.routes['/example.com'] = { body: tags + offer(origin.url.replace('https:', 'http:')) };
  const trustKeysFromHTTPS = true;
  t.deepEqual(codesOf(await fetch(`${name}:1`, { trustKeysFromHTTPS })), ['KEY_UNKNOWN']);
  t.deepEqual(await keystore.list(), []);

  origin.routes['/example.com'] = { body: tags + offer(origin.url) };
  const warnings: string[] = [];
  const outcome = await fetch(`${name}:1`, {
    trustKeysFromHTTPS,
    onEvent: (event) => {
      if (event.type === 'warning') warnings.push(event.message);
    },
  });
  t.like(outcome, { status: 'fetched', signedBy: [key] });
  t.like((await keystore.list())[0], { fingerprint: key, prefix: name });
  t.regex(warnings.join('\n'), new RegExp(key));
  await fetch(`${name}:1`, { trustKeysFromHTTPS, noStore: true });
  t.is(origin.served('/keys.asc'), 1, 'a key is there already');
});

test('a page that came over http does not say which https key is trusted, unless pubkey allows that', async (t) => {
  const origin = await startOrigin(t, { sign: (bytes) => gpg.sign(key, bytes) });
  const elsewhere = await startOrigin(t, { https: true });
  const keystore = await openTrust(t, gpg, {});
  const { fetch } = await openFetching(t, { keystore, discover: origin.discover, ca: [elsewhere.ca] });
  await origin.publish({ name, version: '1' });
  elsewhere.routes['/keys.asc'] = { body: await gpg.certificate(key) };
  const offer = `<meta name="ac-discovery-pubkeys" content="example.com ${elsewhere.url}/keys.asc">`;
  origin.routes['/example.com'] = { body: String(origin.routes['/example.com']?.body) + offer };
  const trusting = { trustKeysFromHTTPS: true, resolveMaxAgeMs: 0 };

  t.deepEqual(codesOf(await fetch(`${name}:1`, { ...trusting, insecure: { http: true } })), ['KEY_UNKNOWN']);
  t.deepEqual(await keystore.list(), []);
  const outcome = await fetch(`${name}:1`, { ...trusting, insecure: { http: true, pubkey: true } });
  t.like(outcome, { status: 'fetched', signedBy: [key] });
});

test('keys for a dependency are discovered only after the image that names it is verified', async (t) => {
  const other = await gpg.createKey();
  const origin = await startOrigin(t, { https: true });
  const keystore = await openTrust(t, gpg, { 'example.com/root': key });
  const { finder, store } = await openFetching(t, { keystore, discover: origin.discover, ca: [origin.ca] });
  const dependency = 'example.com/dependency';
  const root = await origin.publish({
    name: 'example.com/root',
    dependencies: [{ imageName: dependency }, { imageName: 'example.com/root/ahead' }],
    size: 3_000_000,
  });
  const [base, ahead] = [
    await origin.publish({ name: dependency }),
    await origin.publish({ name: 'example.com/root/ahead' }),
  ];
  for (const [{ path, bytes }, by] of [
    [root, key],
    [base, other],
    [ahead, key],
  ] as const) {
    origin.routes[`${path}.asc`] = { body: await gpg.sign(by, bytes) };
  }
  const slow = held(root.bytes);
  origin.routes[root.path] = slow;
  origin.routes['/keys.asc'] = { body: await gpg.certificate(other) };
  const offer = `<meta name="ac-discovery-pubkeys" content="example.com ${origin.url}/keys.asc">`;
  origin.routes['/example.com'] = { body: String(origin.routes['/example.com']?.body) + offer };

  const finding = finder({ trustKeysFromHTTPS: true }).findImages([{ image: root.url }]);
  await until(async () => (await store.getImage(ahead.imageId)) !== undefined);
  t.truthy(await store.getImage(ahead.imageId), 'its key is there already');
  t.is(origin.served('/keys.asc'), 0);
  t.is(origin.served(base.path), 0);
  slow.release();
  t.like((await finding).totals, { nodes: 3, fetched: 3 });
  t.is(origin.served('/keys.asc'), 1);
  t.like(await store.getImage(base.imageId), { verified: [other] });
});

test('no key is discovered if one became trusted while the prefetch waited', async (t) => {
  const origin = await startOrigin(t, { https: true, sign: (bytes) => gpg.sign(key, bytes) });
  const keystore = await openTrust(t, gpg, { 'example.com/root': key });
  const { finder } = await openFetching(t, { keystore, discover: origin.discover, ca: [origin.ca] });
  const dependencies = [{ imageName: name }];
  const root = await origin.publish({ name: 'example.com/root', dependencies, size: 3_000_000 });
  await origin.publish({ name });
  const slow = held(root.bytes);
  origin.routes[root.path] = slow;
  origin.routes['/keys.asc'] = { body: await gpg.certificate(key) };
  const offer = `<meta name="ac-discovery-pubkeys" content="example.com ${origin.url}/keys.asc">`;
  origin.routes['/example.com'] = { body: String(origin.routes['/example.com']?.body) + offer };
  const isLookedFor = () => origin.requests.some(({ url }) => url.startsWith('/example.com?'));

  const finding = finder({ trustKeysFromHTTPS: true }).findImages([{ image: root.url }]);
  await until(isLookedFor);
  await sleep(200); // now it waits
  await keystore.add({ certificate: await gpg.certificate(key), fingerprint: key, prefix: name, layer: 0 });
  slow.release();
  t.like((await finding).totals, { nodes: 2, fetched: 2 });
  t.is(origin.served('/keys.asc'), 0);
});
