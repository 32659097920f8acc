import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';
import { pack } from 'tar-stream';

import { hasCode } from '../../src/errors.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';
import { currentDigest, getConfig } from '../../src/registry/documents.ts';
import { downloadBlob } from '../../src/registry/download-blob.ts';
import { parseRegistryConfig } from '../../src/registry/manifest.ts';
import { resolveImage } from '../../src/registry/resolve.ts';
import { startDockerRegistry, writeLayout } from '../helpers/docker-registry.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { type TestDescriptor, types } from '../helpers/registry.ts';
import { basic, openTestClient } from '../helpers/registry-client.ts';

const signal = AbortSignal.timeout(600_000);
const platform = { os: 'linux', architecture: 'arm64' };

type Layout = { readonly directory: string; readonly top: TestDescriptor; readonly layer: Buffer };

async function layoutOf(t: ExecutionContext, architectures: readonly string[]): Promise<Layout> {
  const directory = await mkdtemp(join(tmpdir(), 'layout-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const tar = pack();
  tar.entry({ name: 'etc/hostname' }, 'a'.repeat(200_000));
  tar.finalize();
  const bytes = Buffer.concat(await Array.fromAsync(tar as AsyncIterable<Buffer>));
  const layer = gzipSync(bytes, { level: 0 });
  const diffId = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  return { directory, layer, top: await writeLayout(directory, architectures, layer, diffId) };
}

test('an image that skopeo pushed to a docker registry is pulled unchanged', async (t) => {
  const registry = await startDockerRegistry(t);
  if (!registry) return;
  const { directory, layer, top } = await layoutOf(t, ['arm64']);
  await registry.push(directory, 'team/app:1');
  const client = openTestClient(t);
  const repository = { host: registry.host, repository: 'team/app' };
  t.is(await currentDigest(client, repository, '1', undefined, signal), top.digest as never);
  const reference = parseRegistryReference(`docker://${registry.host}/team/app:1`);
  const image = await resolveImage(client, reference, { platform }, signal);
  t.is(image.manifest.digest, top.digest as never);
  const { bytes } = await getConfig(client, repository, image.config, undefined, signal);
  t.deepEqual(parseRegistryConfig(bytes, image.layers.length).platform, platform);

  const [blob] = image.layers;
  if (!blob) return t.fail('no layer');
  for (const left of [0, 1, 100_000, layer.length]) {
    const sink = memorySink({ bytes: layer.subarray(0, left) });
    const { transferred } = { transferred: -1, ...(await downloadBlob(client, { repository, blob, sink }, signal)) };
    t.is(transferred, layer.length - left);
    t.true(sink.content().equals(layer));
  }
  const missing = parseRegistryReference(`docker://${registry.host}/team/app:2`);
  const error = await t.throwsAsync(resolveImage(client, missing, { platform }, signal));
  t.like(error, { code: 'HTTP_STATUS', details: { status: 404 } });
  t.regex(error?.message ?? '', /MANIFEST_UNKNOWN/);
});

test('a docker manifest and an index of a docker registry are resolved', async (t) => {
  const registry = await startDockerRegistry(t);
  if (!registry) return;
  const { directory, top } = await layoutOf(t, ['amd64', 'arm64']);
  await registry.push(directory, 'app:all', '--all');
  await registry.push(directory, 'app:docker', '--format', 'v2s2', '--override-arch', 'arm64');
  const client = openTestClient(t);
  const resolve = (name: string) =>
    resolveImage(client, parseRegistryReference(`docker://${registry.host}/${name}`), { platform }, signal);

  const { digest, indexes, config } = await resolve('app:all');
  t.is(digest, top.digest as never);
  t.is(indexes.length, 1);
  const repository = { host: registry.host, repository: 'app' };
  const { bytes } = await getConfig(client, repository, config, undefined, signal);
  t.deepEqual(parseRegistryConfig(bytes, 1).platform, platform);
  t.is((await resolve('app:docker')).manifest.mediaType, types.dockerManifest);
  t.is((await resolve(`app@${top.digest}`)).digest, top.digest as never);
});

test('a docker registry with passwords accepts a correct one', async (t) => {
  const registry = await startDockerRegistry(t, { auth: true });
  if (!registry) return;
  const { directory, top } = await layoutOf(t, ['arm64']);
  await registry.push(directory, 'app:1');
  const reference = parseRegistryReference(`docker://${registry.host}/app:1`);
  const resolve = (credential: ReturnType<typeof basic> | undefined) =>
    resolveImage(
      openTestClient(t, { credentials: () => Promise.resolve(credential) }),
      reference,
      { platform },
      signal,
    );
  t.is((await resolve(basic())).digest, top.digest as never);
  t.true(hasCode(await t.throwsAsync(resolve(undefined)), 'AUTH_REQUIRED'));
  t.true(hasCode(await t.throwsAsync(resolve(basic('user', 'other'))), 'AUTH_DENIED'));
});
