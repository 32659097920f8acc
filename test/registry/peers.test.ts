import { randomBytes } from 'node:crypto';

import test, { type ExecutionContext } from 'ava';

import { parseDigest } from '../../src/image/digest.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';
import type { RegistryClient } from '../../src/registry/client.ts';
import { digestOf, downloadBlob } from '../../src/registry/download-blob.ts';
import { resolveImage } from '../../src/registry/resolve.ts';
import { held } from '../helpers/held.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { startRegistry, type TestRegistry } from '../helpers/registry.ts';
import { basic, openTestClient } from '../helpers/registry-client.ts';

const signal = AbortSignal.timeout(600_000);
const platform = { os: 'linux', architecture: 'amd64' };
const timeouts = { connectMs: 60_000, headersMs: 300, stallMs: 300 };
const paths = ({ requests }: TestRegistry) => requests.map(({ url }) => url);

function download(client: RegistryClient, host: string, { digest, size }: { digest: string; size: number }) {
  const sink = memorySink();
  const about = { repository: { host, repository: 'app' }, blob: { digest: parseDigest(digest), size }, sink };
  return downloadBlob(client, about, signal).then((downloaded) => ({
    transferred: 0,
    ...downloaded,
    isRight: digestOf(sink.content()) === digest,
  }));
}

/** A registry with an image, and a peer that has the image's blobs under another name. */
async function openBoth(t: ExecutionContext) {
  const [registry, peer] = [await startRegistry(t), await startRegistry(t)];
  const bytes = randomBytes(200_000);
  const { digest, manifest } = registry.putImage('app', '1', { layers: [bytes] });
  peer.putImage('copy/app', '1', { layers: [bytes] });
  const [layer] = manifest.layers;
  if (!layer) throw new Error('no layer');
  const route = `/v2/copy/app/blobs/${layer.digest}`;
  const peers = () => [{ host: peer.host, repository: 'copy/app', origin: peer.url }];
  return { registry, peer, bytes, digest, layer, route, peers };
}

test('content that is named by its digest is asked of a peer first, under its name there, and tags are not', async (t) => {
  const { registry, peer, digest, layer } = await openBoth(t);
  const asked: unknown[] = [];
  const credentials: string[] = [];
  const client = openTestClient(t, {
    credentials: (host) => {
      credentials.push(host);
      return Promise.resolve(basic());
    },
    peers: (content) => {
      asked.push(content);
      return [{ host: peer.host, repository: 'copy/app' }];
    },
  });
  peer.routes['/v2/'] = { status: 401, headers: { 'www-authenticate': 'Basic realm=x' } };
  await resolveImage(client, parseRegistryReference(`docker://${registry.host}/app:1`), { platform }, signal);
  t.deepEqual([asked, peer.requests.length], [[], 0]);
  const before = registry.requests.length;
  await resolveImage(client, parseRegistryReference(`docker://${registry.host}/app@${digest}`), { platform }, signal);
  const { from, isRight } = await download(client, registry.host, layer);
  t.deepEqual([from, isRight], [{ host: peer.host, kind: 'peer' }, true]);
  t.is(registry.requests.length, before);
  t.deepEqual(paths(peer), ['/v2/', `/v2/copy/app/manifests/${digest}`, `/v2/copy/app/blobs/${layer.digest}`]);
  t.deepEqual(asked, [
    { host: registry.host, repository: 'app', path: `manifests/${digest}` },
    { host: registry.host, repository: 'app', path: `blobs/${layer.digest}` },
  ]);
  t.true(credentials.includes(peer.host), 'with the credentials for that host');
  t.true(peer.requests.slice(1).every(({ headers }) => headers.authorization !== undefined));
  t.deepEqual(
    client.placesOf({ host: registry.host, repository: 'app', namedBy: 'digest' }).map(({ host }) => host),
    [registry.host],
    'answers are not kept for peers',
  );
});

test('what a peer lacks, refuses, cuts or leaves unanswered comes from the registry', async (t) => {
  const { registry, peer, layer, bytes, route, peers } = await openBoth(t);
  const lies = [
    { status: 404 },
    { status: 403 },
    { status: 500 },
    { body: 'x' },
    { body: Buffer.concat([bytes, bytes]) },
    { body: bytes, cutAfter: 1000 },
    { handler: () => undefined },
    held(bytes, 1000),
    { status: 302, headers: { location: '/v2/copy/app/blobs/nowhere' } },
  ];
  for (const lie of lies) {
    peer.routes[route] = lie;
    const client = openTestClient(t, { peers, http: { timeouts } });
    const { from, isRight } = await download(client, registry.host, layer);
    t.deepEqual([from.kind, isRight], ['registry', true]);
  }
  t.is(paths(peer).filter((path) => path === route).length, lies.length);
});

test('a peer that is asked at its own address leads nowhere else, not even for its first answer or at itself; a registry that is a peer may', async (t) => {
  const { registry, peer, layer, bytes, route, peers } = await openBoth(t);
  const other = await startRegistry(t);
  other.routes['/elsewhere'] = { body: bytes };
  peer.routes['/here'] = { body: bytes };
  const answers = {
    [route]: [`${other.url}/elsewhere`, '/here'],
    '/v2/': [`${other.url}/v2/`],
  };
  for (const [path, locations] of Object.entries(answers)) {
    const before = peer.routes[path];
    for (const location of locations) {
      peer.routes[path] = { status: 307, headers: { location } };
      const client = openTestClient(t, { peers });
      const { from, isRight } = await download(client, registry.host, layer);
      t.deepEqual([from.kind, isRight], ['registry', true], `${path} ${location}`);
    }
    if (before) peer.routes[path] = before;
    else delete peer.routes[path];
  }
  t.deepEqual([paths(other), paths(peer).includes('/here')], [[], false]);

  peer.routes[route] = { status: 307, headers: { location: `${other.url}/elsewhere` } };
  const client = openTestClient(t, { peers: () => [{ host: peer.host, repository: 'copy/app' }] });
  const { from, isRight } = await download(client, registry.host, layer);
  t.deepEqual([from.kind, isRight, paths(other)], ['peer', true, ['/elsewhere']]);
});

test('a peer that hangs is asked for no more than what it sends, and the registry for the rest', async (t) => {
  const { registry, peer, layer, bytes, route, peers } = await openBoth(t);
  peer.routes[route] = held(bytes, 150_000);
  registry.routes[`/v2/app/blobs/${layer.digest}`] = { body: bytes, etag: '"1"' };
  const client = openTestClient(t, { peers, http: { timeouts } });
  const { isRight, transferred } = await download(client, registry.host, layer);
  t.true(isRight);
  t.is(transferred, 50_000);
  t.is(registry.requests.at(-1)?.headers.range, 'bytes=150000-');
});

test('a peer that is gone is asked a few times only, with one warning, and then left alone', async (t) => {
  const { registry, layer } = await openBoth(t);
  const gone = await startRawServer(t, (socket) => socket.destroy());
  let now = 0;
  const peers = () => [{ host: `127.0.0.1:${gone.port}`, repository: 'app', origin: `http://127.0.0.1:${gone.port}` }];
  const client = openTestClient(t, { peers, nowMs: () => (now += 1) });
  for (let tries = 0; tries < 6; tries += 1) {
    t.true((await download(client, registry.host, layer)).isRight);
  }
  t.is(client.warnings.length, 1);
  t.regex(client.warnings[0] ?? '', new RegExp(`^the peer 127.0.0.1:${gone.port} is not asked for a while`));
});

test('after a peer that is the last resort no registry is asked, also when the peer is left alone', async (t) => {
  const { registry, peer, layer, route, peers } = await openBoth(t);
  const client = openTestClient(t, { peers: () => peers().map((one) => ({ ...one, isLastResort: true })) });
  t.true((await download(client, registry.host, layer)).isRight);
  peer.routes[route] = { status: 404 };
  await t.throwsAsync(download(client, registry.host, layer), { code: 'HTTP_STATUS' });
  peer.routes[route] = { status: 500 };
  const failures = [];
  for (let turn = 0; turn < 4; turn += 1)
    failures.push(await t.throwsAsync<Error & { code: string }>(download(client, registry.host, layer)));
  t.deepEqual(
    failures.map((error) => error?.code),
    ['HTTP_STATUS', 'HTTP_STATUS', 'HTTP_STATUS', 'NETWORK'],
  );
  t.deepEqual(paths(registry), []);
});

test('the peers of a registry that must not be asked are not asked either', async (t) => {
  const { registry, peer, layer, peers } = await openBoth(t);
  const client = openTestClient(t, { peers, mirrors: [{ prefix: registry.host, blocked: true, mirrors: [] }] });
  await t.throwsAsync(download(client, registry.host, layer), { code: 'INSECURE_REFUSED' });
  t.deepEqual([peer.requests.length, registry.requests.length], [0, 0]);
});

test('a registry that is a peer of others too is asked as both', async (t) => {
  const { registry, layer } = await openBoth(t);
  const client = openTestClient(t, { peers: () => [{ host: registry.host, repository: 'nothing' }] });
  const { from, isRight } = await download(client, registry.host, layer);
  t.deepEqual([from.kind, isRight], ['registry', true]);
  t.deepEqual(paths(registry).slice(-3), [
    `/v2/nothing/blobs/${layer.digest}`,
    '/v2/',
    `/v2/app/blobs/${layer.digest}`,
  ]);
});
