import test from 'ava';

import { digestOf } from '../../src/registry/download-blob.ts';
import { parseRegistryManifest } from '../../src/registry/manifest.ts';
import { deriveOciManifest } from '../../src/registry/media-types.ts';

const docker = 'application/vnd.docker.distribution.manifest.v2+json';
const dockerLayer = 'application/vnd.docker.image.rootfs.diff.tar';
const blob = (mediaType: string, text: string) => ({
  mediaType,
  digest: digestOf(Buffer.from(text)),
  size: text.length,
});

function derive(mediaType: string, config: string, layers: readonly string[]) {
  const document = {
    schemaVersion: 2,
    mediaType,
    config: blob(config, 'c'),
    layers: layers.map((type) => blob(type, type)),
  };
  const bytes = Buffer.from(JSON.stringify(document));
  const content = parseRegistryManifest(bytes, mediaType, 10);
  if (content.kind !== 'manifest') throw new Error('an index');
  return deriveOciManifest({ bytes, digest: digestOf(bytes), mediaType }, content);
}

test('a docker manifest becomes an OCI manifest with the same blobs', (t) => {
  const types = [dockerLayer, `${dockerLayer}.gzip`, `${dockerLayer}.zstd`];
  const derived = derive(docker, 'application/vnd.docker.container.image.v1+json', types);
  const oci = 'application/vnd.oci.image';
  t.deepEqual(JSON.parse(String(derived?.bytes)), {
    schemaVersion: 2,
    mediaType: `${oci}.manifest.v1+json`,
    config: blob(`${oci}.config.v1+json`, 'c'),
    layers: ['', '+gzip', '+zstd'].map((kind, at) => ({
      ...blob(types[at] ?? '', types[at] ?? ''),
      mediaType: `${oci}.layer.v1.tar${kind}`,
    })),
  });
  t.is(derived?.digest, digestOf(derived?.bytes ?? Buffer.alloc(0)));
});

test('nothing is derived from an OCI manifest', (t) => {
  const config = 'application/vnd.oci.image.config.v1+json';
  t.is(derive('application/vnd.oci.image.manifest.v1+json', config, []), undefined);
});
