import { rm } from 'node:fs/promises';

import type { LayerPacking } from '../../workers/convert/requests.ts';
import type { SavedImage } from '../../workers/import/requests.ts';
import { ImageError } from '../errors.ts';
import { putDocument, readDocument } from '../fetchers/registry/keep.ts';
import type { Digest } from '../image/digest.ts';
import type { Limits } from '../image/limits.ts';
import { openUnpacker } from '../pool/make-archive.ts';
import type { Pool } from '../pool/pool.ts';
import { digestOf } from '../registry/download-blob.ts';
import { parseRegistryConfig } from '../registry/manifest.ts';
import type { StoredDescriptor } from '../store/registry-store.ts';
import type { Store } from '../store/store.ts';

type SavedContext = { readonly store: Store; readonly pool: Pool; readonly limits: Limits };

type Whole = Extract<SavedImage, { readonly fault?: undefined }>;

const mediaType = 'application/vnd.docker.distribution.manifest.v2+json';
const layerTypes: Readonly<Record<LayerPacking, string>> = {
  tar: 'application/vnd.docker.image.rootfs.diff.tar',
  gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  zstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
};

/**
 * Makes the manifest of an image that docker saved, which has none, and puts it into the store. Configuration and layers stay as they are, so
 * the same image always has the same manifest: that which containerd makes of it.
 *
 * @throws DIGEST_MISMATCH if a layer is not what the configuration says, or that not what it is named by; MANIFEST_INVALID, LIMIT_EXCEEDED,
 * ARCHIVE_UNREADABLE
 */
export async function keepSavedManifest(
  context: SavedContext,
  { config, layers }: Whole,
  signal: AbortSignal,
): Promise<StoredDescriptor> {
  const { store, limits } = context;
  const { named, ...file } = config;
  if (named !== undefined && named !== file.digest) {
    const message = `the configuration of the image has the digest ${file.digest}, not ${named}, by which it is named`;
    throw new ImageError('DIGEST_MISMATCH', message, { asked: named, found: file.digest, of: 'archive' });
  }
  if (layers.length > limits.layers) {
    const message = `${layers.length} layers, more than ${limits.layers}`;
    throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'layers', maximum: limits.layers });
  }
  const bytes = await readDocument(store, file, limits.registryConfig);
  if (!bytes) {
    const maximum = limits.registryConfig;
    throw new ImageError('LIMIT_EXCEEDED', `a configuration of more than ${maximum} bytes`, {
      limit: 'registryConfig',
      maximum,
    });
  }
  const { diffIds } = parseRegistryConfig(bytes, layers.length);
  const typed: StoredDescriptor[] = [];
  for (const [position, { digest, size }] of layers.entries()) {
    const packing = await packingOf(context, digest, diffIds[position] ?? digest, signal);
    typed.push({ mediaType: layerTypes[packing], digest, size });
  }
  const described = { mediaType: 'application/vnd.docker.container.image.v1+json', ...pick(file) };
  const document = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: described, layers: typed }));
  const digest = digestOf(document);
  await putDocument(store, { bytes: document, digest, mediaType });
  return { mediaType, digest, size: document.byteLength };
}

function pick({ digest, size }: Pick<StoredDescriptor, 'digest' | 'size'>): Pick<StoredDescriptor, 'digest' | 'size'> {
  return { digest, size };
}

/** How a layer is packed. A tar is checked by its own digest; any other is unpacked for that. */
async function packingOf(
  context: SavedContext,
  digest: Digest,
  diffId: Digest,
  signal: AbortSignal,
): Promise<LayerPacking> {
  if (digest === diffId) return 'tar';
  await using unpacker = openUnpacker(context);
  const { tar, packing } = await unpacker.unpack({ position: 0, digest, diffId }, signal);
  await rm(tar, { force: true });
  return packing;
}
