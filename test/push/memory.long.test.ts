import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import type { Digest } from '../../src/image/digest.ts';
import type { Store } from '../../src/internal.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { StoredBlob } from '../../src/store/registry-store.ts';
import { stampNow } from '../helpers/blob.ts';
import { preload } from '../helpers/preload.ts';
import { types } from '../helpers/registry.ts';
import { digestOf } from '../helpers/registry-image.ts';
import { listen, type Teardown } from '../helpers/server.ts';
import { openShell } from '../helpers/shell.ts';

const mib = 1024 * 1024;

/** Has a process write the most memory that it had, in KiB, to the file `peak`. */
const writesPeak = preload(`
  import { writeFileSync } from 'node:fs';
  process.on('exit', () => writeFileSync('peak', String(process.resourceUsage().maxRSS)));
`);

/** A registry that believes what it is sent and keeps nothing of blobs but how much has come. */
async function startSink(t: Teardown) {
  const received = { bytes: 0, blobs: new Set<string>(), manifests: 0, most: 0 };
  const uploads = new Map<string, number>();
  let begun = 0;
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', headers } = request;
    const url = new URL(request.url ?? '', 'http://registry');
    const answer = (status: number, more: Record<string, string> = {}): void =>
      void response.writeHead(status, { 'content-length': '0', ...more }).end();
    if (method === 'HEAD') return answer(404);
    if (method === 'GET') return answer(200);
    if (method === 'POST') return answer(202, { location: `${url.pathname}${(begun += 1)}` });
    const hash = createHash('sha256');
    const isManifest = url.pathname.includes('/manifests/');
    let bytes = uploads.get(url.pathname) ?? 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.byteLength;
      received.bytes += chunk.byteLength;
      if (isManifest) hash.update(chunk);
    }
    received.most = Math.max(received.most, Number(headers['content-length'] ?? 0));
    uploads.set(url.pathname, bytes);
    if (method === 'PATCH') return answer(202, { location: url.pathname, range: `0-${bytes - 1}` });
    const digest = url.searchParams.get('digest') ?? `sha256:${hash.digest('hex')}`;
    if (isManifest) received.manifests += 1;
    else received.blobs.add(digest);
    return answer(201, { 'docker-content-digest': digest });
  };
  const server = createServer((request, response) => void serve(request, response).catch(() => response.destroy()));
  const { port } = await listen(t, server);
  return { host: `127.0.0.1:${port}`, received };
}

async function putBlob(store: Store, content: Buffer): Promise<StoredBlob> {
  const path = store.temporaryPath();
  await writeFile(path, content);
  const blob = { digest: digestOf(content), size: content.byteLength };
  await store.commitBlob({ ...blob, path, stamp: stampNow(path) });
  return blob;
}

/** 2 GiB of zeros, which take no room on the disk. A push reads and hashes them. */
async function putZeros(store: Store): Promise<StoredBlob> {
  const path = store.temporaryPath();
  const digest = 'sha256:a7c744c13cc101ed66c29f672f92455547889cc586ce6d44fe76ae824958ea51' as Digest;
  const size = 2048 * mib;
  await writeFile(path, '');
  await truncate(path, size);
  await store.commitBlob({ digest, size, path, stamp: stampNow(path) });
  return { digest, size };
}

/** Lists an image of one layer, as a fetch would. */
async function putImage(store: Store, name: string, layers: readonly StoredBlob[]): Promise<void> {
  const config = await putBlob(store, Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', name })));
  const described = (mediaType: string, blob: StoredBlob) => ({ mediaType, ...blob });
  const manifest = {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: described('application/vnd.oci.image.config.v1+json', config),
    layers: layers.map((layer) => described('application/vnd.oci.image.layer.v1.tar', layer)),
  };
  const document = await putBlob(store, Buffer.from(JSON.stringify(manifest)));
  await store.commitRegistryImage({
    reference: `registry.example/${name}:1`,
    manifest: described(types.manifest, document),
    platform: { os: 'linux', architecture: 'amd64' },
    blobs: [config.digest, ...layers.map(({ digest }) => digest)],
    ...{ latest: false, source: `docker://registry.example/${name}:1`, verified: false, weak: false },
  });
}

/** Fills a store, and pushes all of it by the command. @returns the most memory that its process had, in bytes */
async function pushAll(t: ExecutionContext, fill: (store: Store) => Promise<void>) {
  const shell = await openShell(t, writesPeak);
  {
    await using store = await openStore({ dir: join(shell.directory, 'store') });
    await fill(store);
  }
  const { host, received } = await startSink(t);
  const startedMs = performance.now();
  const { code, stderr } = await shell.run(`longshore push --all --progress=none --to docker://${host}`);
  t.is(code, 0, stderr);
  const peak = 1024 * Number(readFileSync(join(shell.directory, 'peak'), 'utf8'));
  t.log(`${Math.round(peak / mib)} MiB, ${Math.round(performance.now() - startedMs)} ms`);
  return { peak, received };
}

test.serial('a blob of 2 GiB is sent with little memory, in chunks of 32 MiB', async (t) => {
  t.timeout(600_000);
  const { peak, received } = await pushAll(t, async (store) => putImage(store, 'large', [await putZeros(store)]));
  t.true(received.bytes > 2048 * mib);
  t.true(received.most <= 32 * mib);
  t.true(peak < 256 * mib, `${peak / mib} MiB`);
});

test.serial('400 small images are pushed with little memory', async (t) => {
  t.timeout(600_000);
  const { peak, received } = await pushAll(t, async (store) => {
    const shared = await putBlob(store, Buffer.alloc(20_000, 'a'));
    for (let at = 0; at < 400; at += 100) {
      await Promise.all(
        Array.from({ length: 100 }, async (_, index) => {
          const name = `team/app-${at + index}`;
          await putImage(store, name, [shared, await putBlob(store, Buffer.alloc(5000, name))]);
        }),
      );
    }
  });
  t.is(received.manifests, 400);
  t.true(peak < 200 * mib, `${peak / mib} MiB`);
});
