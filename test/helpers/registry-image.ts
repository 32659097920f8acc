import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { type Digest, parseDigest } from '../../src/image/digest.ts';
import type { RegistryCommit, RegistryImage, StoredDescriptor } from '../../src/store/registry-store.ts';
import type { Store } from '../../src/store/store.ts';
import { stampNow } from './blob.ts';

export function digestOf(bytes: Uint8Array): Digest {
  return parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
}

/** Brings bytes into `blobs/sha256` as a fetch would. */
export async function putBytes(store: Store, bytes: Uint8Array): Promise<Digest> {
  const [path, digest] = [store.temporaryPath(), digestOf(bytes)];
  await writeFile(path, bytes, { flag: 'wx' });
  await store.commitBlob({ path, stamp: stampNow(path), digest, size: bytes.byteLength });
  return digest;
}

export type RegistryImageOptions = Partial<RegistryCommit> & {
  /** Bytes of a file, so that images differ. */
  readonly content?: string;
  /** The one layer; an empty tar. */
  readonly layer?: Uint8Array;
};

const emptyTar = Buffer.alloc(1024);

/** Brings in all that a small image consists of, and says what is to be committed. */
export async function prepareRegistryImage(store: Store, options: RegistryImageOptions): Promise<RegistryCommit> {
  const { content = '', layer = gzipSync(emptyTar), ...about } = options;
  const config = asJson({
    architecture: 'amd64',
    os: 'linux',
    config: { Env: [`CONTENT=${content}`] },
    rootfs: { type: 'layers', diff_ids: [digestOf(emptyTar)] },
  });
  const manifest = asJson({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: describe('application/vnd.oci.image.config.v1+json', config),
    layers: [describe('application/vnd.oci.image.layer.v1.tar+gzip', layer)],
  });
  const blobs = await Promise.all([config, layer, manifest].map((bytes) => putBytes(store, bytes)));
  return {
    reference: `docker.io/library/app:${content || 'latest'}`,
    manifest: describe('application/vnd.oci.image.manifest.v1+json', manifest),
    platform: { os: 'linux', architecture: 'amd64' },
    blobs,
    latest: false,
    source: 'https://registry.example.com/v2/library/app/manifests/latest',
    verified: false,
    weak: false,
    ...about,
  };
}

export async function putRegistryImage(store: Store, options: RegistryImageOptions = {}): Promise<RegistryImage> {
  return store.commitRegistryImage(await prepareRegistryImage(store, options));
}

export type IndexDescriptor = {
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
};

/** The entries of index.json. */
export async function readIndexJson(dir: string): Promise<readonly IndexDescriptor[]> {
  const document = JSON.parse(await readFile(join(dir, 'index.json'), 'utf8')) as {
    readonly manifests: readonly IndexDescriptor[];
  };
  return document.manifests;
}

/** The names in index.json, sorted. */
export async function namesInIndex(dir: string): Promise<readonly (string | undefined)[]> {
  const entries = await readIndexJson(dir);
  return entries.map(({ annotations }) => annotations?.['org.opencontainers.image.ref.name']).sort();
}

export function describe(mediaType: string, bytes: Uint8Array): StoredDescriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}

export function asJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
