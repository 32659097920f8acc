import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { Agent } from 'undici';

/**
 * The least time that a push takes in Node: `push-floor.ts LAYOUT HOST LANES` sends the images of an OCI layout, all of one platform, to
 * an empty registry over http with the fewest requests: each manifest is asked for and put, each blob is uploaded by two requests, or
 * mounted by one where another repository has it. Nothing is checked, tried again, counted or told.
 */
const [layout = '', host = '', lanes = '1'] = process.argv.slice(2);

type Descriptor = { readonly digest: string; readonly mediaType: string };
type Manifest = { readonly config: Descriptor; readonly layers: readonly Descriptor[] };
type Entry = Descriptor & { readonly annotations: Readonly<Record<string, string>> };

const agent = new Agent({ connections: Number(lanes) });
/** For each blob, the repository that gets it. */
const owners = new Map<string, Promise<string>>();

const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: readonly Entry[] };
const waiting = manifests.values();
const lane = async (): Promise<void> => {
  for (const entry of waiting) await push(entry);
};
await Promise.all(Array.from({ length: Number(lanes) }, lane));
await agent.close();

async function push({ digest, mediaType, annotations }: Entry): Promise<void> {
  const name = annotations['org.opencontainers.image.ref.name'] ?? '';
  const [repository = '', tag = ''] = name.slice(name.indexOf('/') + 1).split(':');
  await send('HEAD', `${repository}/manifests/${tag}`, 404);
  const bytes = await read(digest);
  const { config, layers } = JSON.parse(bytes.toString()) as Manifest;
  await Promise.all([config, ...layers].map((blob) => bring(repository, blob.digest)));
  await send('PUT', `${repository}/manifests/${tag}`, 201, { bytes, type: mediaType });
}

async function bring(repository: string, digest: string): Promise<void> {
  const owner = owners.get(digest);
  const mount = (from: string, status: number) =>
    send('POST', `${repository}/blobs/uploads/?mount=${digest}&from=${encodeURIComponent(from)}`, status);
  if (owner) {
    await mount(await owner, 201);
    return;
  }
  const upload = async (): Promise<string> => {
    const { pathname, search } = new URL(await mount(repository, 202));
    const bytes = await read(digest);
    const path = pathname.slice('/v2/'.length) + search;
    await send('PUT', `${path}&digest=${encodeURIComponent(digest)}`, 201, { bytes, type: 'application/octet-stream' });
    return repository;
  };
  const uploading = upload();
  owners.set(digest, uploading);
  await uploading;
}

/** @returns the Location of the answer */
async function send(
  method: 'HEAD' | 'POST' | 'PUT',
  path: string,
  status: number,
  content?: { readonly bytes: Uint8Array; readonly type: string },
): Promise<string> {
  const { statusCode, headers, body } = await agent.request({
    ...{ origin: `http://${host}`, path: `/v2/${path}`, method },
    ...(content && { body: content.bytes, headers: { 'content-type': content.type } }),
  });
  await body.dump();
  if (statusCode !== status) throw new Error(`${method} ${path}: ${statusCode}`);
  return String(headers['location']);
}

function read(digest: string): Promise<Buffer> {
  return readFile(join(layout, 'blobs', digest.replace(':', '/')));
}
