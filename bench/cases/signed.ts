import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { request } from 'undici';

import { type CosignKey, createCosignKey, payloadOf } from '../../test/helpers/cosign.ts';
import { openDockerRegistry } from '../../test/helpers/docker-registry.ts';
import { openLongshores } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { type Row, takeTurns } from '../take-turns.ts';
import { pushImages } from './registry.ts';

const oneForm = ['--keep=oci', '--platform=linux/amd64'];

/** Two hundred images of a registry that a public key has signed as cosign does: with and without a check of their signatures. */
export async function signedRegistry({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  await using origin = await openDockerRegistry();
  const [count, layerBytes] = small ? [4, 20_000] : [200, 600_000];
  const names = await pushImages(origin, directory, { count, layerBytes });
  const key = createCosignKey();
  for (const name of names) await sign(origin.host, name, key);
  const file = join(directory, 'cosign.pub');
  await writeFile(file, key.pem);

  const longshores = await openLongshores(directory);
  for (const { run } of longshores) await run(['trust', '--root', '--fingerprint', key.fingerprint, file]);
  const references = names.map((name) => `docker://${origin.host}/${name}`);
  return await takeTurns(
    longshores.flatMap(({ label, fetch }) => [
      { who: `longshore${label}, unchecked`, run: () => fetch(references, [...oneForm, '--insecure-options=image']) },
      { who: `longshore${label}, signatures checked`, run: () => fetch(references, oneForm) },
    ]),
    turns,
  );
}

/** Pushes a signature under the tag of the image's digest. */
async function sign(host: string, name: string, key: CosignKey): Promise<void> {
  const [repository = '', tag = ''] = name.split(':');
  const url = `http://${host}/v2/${repository}`;
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const image = await ask(`${url}/manifests/${tag}`, { method: 'HEAD', headers: { accept: mediaType } });
  const digest = String(image['docker-content-digest']);
  const payload = payloadOf({ digest, reference: `${host}/${repository}` });
  const layer = {
    mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    ...(await putBlob(url, payload)),
    annotations: { 'dev.cosignproject.cosign/signature': key.sign(payload).toString('base64') },
  };
  const config = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    ...(await putBlob(url, Buffer.from('{"rootfs":{"type":"layers","diff_ids":[]}}'))),
  };
  const body = JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [layer] });
  const headers = { 'content-type': mediaType };
  await ask(`${url}/manifests/${digest.replace(':', '-')}.sig`, { method: 'PUT', headers, body });
}

async function putBlob(url: string, body: Uint8Array) {
  const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`;
  const begun = await ask(`${url}/blobs/uploads/`, { method: 'POST' });
  const to = new URL(String(begun['location']), url);
  to.searchParams.set('digest', digest);
  await ask(to, { method: 'PUT', headers: { 'content-type': 'application/octet-stream' }, body });
  return { digest, size: body.length };
}

/** @returns the headers of the answer */
async function ask(url: string | URL, options: Parameters<typeof request>[1]) {
  const { statusCode, headers, body } = await request(url, options);
  const text = await body.text();
  if (statusCode >= 300) throw new Error(`${new URL(url).pathname}: ${statusCode}: ${text}`);
  return headers;
}
