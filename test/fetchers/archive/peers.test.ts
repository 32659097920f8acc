import { createHash } from 'node:crypto';

import test, { type ExecutionContext } from 'ava';

import { type BatchEvent, createApps, type LockedImage, type Outcome } from '../../../src/index.ts';
import { isDigest } from '../../../src/internal.ts';
import { openFetching } from '../../helpers/fetching.ts';
import { openGpg } from '../../helpers/keys.ts';
import { type Origin, type Published, startOrigin } from '../../helpers/origin.ts';
import type { Route } from '../../helpers/serve-route.ts';
import { startServer } from '../../helpers/server.ts';
import { serve } from '../../helpers/serving.ts';
import { openTrust } from '../../helpers/trust.ts';

const gpg = await openGpg();
const [ann, eve] = await Promise.all(['ann', 'eve'].map((name) => gpg.createKey({ userId: `${name}@example.com` })));
test.after.always(() => gpg.close());

type Asking = {
  readonly origin: Origin;
  readonly app: Published;
  readonly locked: LockedImage;
  readonly warnings: readonly string[];
  /** Fetches the image by its URL, or by its name, as a lock has it, from these peers. */
  fetch(this: void, peers: readonly string[], by?: 'name'): Promise<Outcome>;
  /** What the store knows of the URL. */
  known(this: void): Promise<object | undefined>;
};

/** A store that is new, and an image at an origin that others may have kept. */
async function openAsking(t: ExecutionContext): Promise<Asking> {
  const origin = await startOrigin(t, { sign: (archive) => gpg.sign(ann ?? '', archive) });
  const labels = { os: 'linux', arch: 'amd64' };
  const app = await origin.publish(
    { name: 'example.com/app', version: '1', labels, size: 400_000, compress: 'gzip' },
    { etag: '"of-the-origin"', headers: { 'cache-control': 'max-age=3600' } },
  );
  const keystore = await openTrust(t, gpg, { 'example.com': ann ?? '' });
  const { finder, store } = await openFetching(t, { keystore, insecure: { http: true }, discover: origin.discover });
  const digest = `sha256:${createHash('sha256').update(app.bytes).digest('hex')}`;
  if (!isDigest(digest)) throw new Error('no digest');
  const locked = { imageID: app.imageId, digest };
  const warnings: string[] = [];
  const onEvent = (event: BatchEvent): void => {
    if (event.type === 'warning') warnings.push(event.message);
  };
  return {
    ...{ origin, app, locked, warnings },
    known: () => store.getRemote(app.url),
    async fetch(peers, by) {
      const name = 'example.com/app:1,os=linux,arch=amd64';
      const reference = 'example.com/app,arch=amd64,os=linux,version=1';
      const images = new Map<string, LockedImage>(
        by === 'name' ? [[reference, { ...locked, url: app.url }]] : [[app.url, locked]],
      );
      const archivePeers = () => peers.map((url) => ({ origin: url, user: 'fleet', password: 'secret' }));
      const { outcomes } = await finder({ archivePeers, onEvent }).findImages(
        createApps([by === 'name' ? name : app.url]),
        { lock: { images, frozen: true, onFound: () => undefined } },
      );
      return outcomes[0] ?? t.fail();
    },
  };
}

/** A peer that answers as it likes where the archive and its signature should be. */
async function startPeer(t: ExecutionContext, { locked, app }: Asking, archive: Route, signature: Route = {}) {
  const path = `/aci/${locked.imageID}/${locked.digest}.aci`;
  const routes = {
    [path]: { etag: `"${locked.digest}"`, ...archive },
    [`${path}.asc`]: { body: await gpg.sign(ann ?? '', app.bytes), ...signature },
  };
  return startServer(t, routes);
}

for (const by of ['url', 'name'] as const) {
  test(`an archive that a lock has comes from a peer that has kept it, by ${by}, and counts as one of its origin`, async (t) => {
    const asking = await openAsking(t);
    const { origin, app, fetch, known } = asking;
    const other = await openFetching(t, {
      keystore: await openTrust(t, gpg, { root: ann ?? '' }),
      insecure: { http: true },
    });
    t.is((await other.fetch(app.url, { keepArchives: true })).status, 'fetched');
    const peer = await serve(t, other.store.dir);
    const outcome = await fetch([peer.url], by === 'name' ? by : undefined);
    t.like(
      outcome,
      { status: 'fetched', imageID: app.imageId, signedBy: [ann], source: app.url },
      outcome.error?.message,
    );
    t.is(origin.served(app.path), 1, 'by the peer');
    t.is(origin.served(`${app.path}.asc`), 1);
    t.like(await known(), { imageId: app.imageId, maxAgeMs: 0, etag: undefined, signatureUrl: `${app.url}.asc` });
  });
}

const liars: readonly (readonly [string, Route, Route, RegExp?])[] = [
  ['has not kept it', { status: 404 }, {}],
  ['has not kept its signature', {}, { status: 404 }],
  ['wants another password', { status: 401 }, { status: 401 }],
  ['sends something else', { body: 'something else' }, {}, /cannot be taken from the peer 127\.0\.0\.1:\d+: /],
  ['leads elsewhere', { status: 302, headers: { location: 'http://127.0.0.1:9/' } }, {}],
  ['cuts the connection', { cutAfter: 1000 }, {}],
];
for (const [what, archive, signature, warning] of liars) {
  test(`where a peer ${what}, the archive comes from its origin`, async (t) => {
    const asking = await openAsking(t);
    const { origin, app, fetch, known, warnings } = asking;
    const peer = await startPeer(t, asking, { body: app.bytes, ...archive }, signature);
    const outcome = await fetch([peer.url]);
    t.like(outcome, { status: 'fetched', imageID: app.imageId }, outcome.error?.message);
    t.is(origin.served(app.path), 1);
    t.true(peer.requests.length > 0);
    t.like(await known(), { etag: '"of-the-origin"', maxAgeMs: 3_600_000 });
    t.is(warnings.filter((message) => warning?.test(message)).length, warning ? 1 : 0, warnings.join('\n'));
  });
}

test('of a peer nothing counts but the bytes that the lock names, though they are signed by a trusted key', async (t) => {
  const asking = await openAsking(t);
  const { origin, app, fetch, warnings } = asking;
  const other = await origin.publish({ name: 'example.com/app', version: '0', labels: { os: 'linux', arch: 'amd64' } });
  const old = await startPeer(t, asking, { body: other.bytes }, { body: await gpg.sign(ann ?? '', other.bytes) });
  const ofEve = await startPeer(t, asking, { body: app.bytes }, { body: await gpg.sign(eve ?? '', app.bytes) });
  t.like(await fetch([old.url, ofEve.url]), { status: 'fetched', imageID: app.imageId, signedBy: [ann] });
  t.is(origin.served(app.path), 1);
  t.is(warnings.length, 2, warnings.join('\n'));
});

test('what a peer has left out comes from the next one, and the password goes to each of them', async (t) => {
  const asking = await openAsking(t);
  const { origin, app, fetch } = asking;
  const first = await startPeer(t, asking, { body: app.bytes, cutAfter: 150_000 });
  const second = await startPeer(t, asking, { body: app.bytes });
  const outcome = await fetch([first.url, second.url]);
  t.like(outcome, { status: 'fetched', imageID: app.imageId }, outcome.error?.message);
  t.is(origin.requests.length, 0);
  const asked = second.requests.filter(({ url }) => url.endsWith('.aci'));
  t.regex(asked[0]?.headers.range ?? '', /^bytes=[1-9]\d*-$/);
  const authorization = `Basic ${Buffer.from('fleet:secret').toString('base64')}`;
  t.true([...first.requests, ...second.requests].every(({ headers }) => headers.authorization === authorization));
});
