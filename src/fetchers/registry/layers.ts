import type { LayerPacking } from '../../../workers/convert/requests.ts';
import { type ErrorCode, ImageError, isImageError } from '../../errors.ts';
import type { Digest } from '../../image/digest.ts';
import { type GoPlatform, platformMissing, runsOn, toAppcPlatform } from '../../image/platform.ts';
import { isAnotherBlob, unpackAll, type UnpackedImage, type Unpacker } from '../../pool/make-archive.ts';
import { getConfig, parseDocument } from '../../registry/documents.ts';
import { parseRegistryConfig, type RegistryConfig } from '../../registry/manifest.ts';
import type { RegistryDocument } from '../../registry/types.ts';
import type { RegistryImage } from '../../store/registry-store.ts';
import { createObserver, type FetchContext, type SharedBlobs } from '../context.ts';
import { fetchBlob, reserveMissing, type TransferProgress, transferProgress } from './blobs.ts';
import type { Pull } from './image.ts';
import { readDocument } from './keep.ts';

type Parts = {
  readonly config: RegistryDocument;
  readonly platform: GoPlatform;
  readonly bytesDownloaded: number;
};

/**
 * Fetches the configuration and the layers that the store does not have, the largest first, and unpacks each layer when it has
 * arrived. If one fails, the others are aborted.
 */
export async function fetchParts(
  context: FetchContext,
  pull: Pull,
  unpacker: Pick<Unpacker, 'unpack'> | undefined,
  signal: AbortSignal,
): Promise<Parts> {
  const { onEvent } = context;
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const layers = new Map(pull.resolved.layers.map((layer) => [layer.digest, layer]));
  const progress = transferProgress(context, pull);
  const needed = { pull, blobs: [...layers.values()], config: pull.resolved.config };
  using reserved = await reserveMissing(context, needed, signal);
  const { missing, shared } = reserved;

  const config = fetchConfig(context, { ...pull, progress, shared }, either).then((document) => {
    const facts = parseRegistryConfig(document.bytes, pull.resolved.layers.length);
    return { config: document, platform: choosePlatformOf(context, pull, facts), diffIds: facts.diffIds };
  });
  const blobs = new Map(
    missing.map((blob) => [blob.digest, fetchBlob(context, { pull, blob, progress, shared }, either)]),
  );
  const unpack = async (digest: Digest, position: number): Promise<void> => {
    await blobs.get(digest);
    const diffId = (await config).diffIds[position];
    const unpacking = diffId && unpacker?.unpack({ position, digest, diffId }, either);
    const unpacked = await unpacking?.catch((error: unknown) => {
      throw either.aborted || isAnotherBlob(error, digest) ? error : notConvertible(error);
    });
    const stated = packingOf(layers.get(digest)?.mediaType);
    if (!unpacked || unpacked.packing === stated) return;
    const message = `layer ${digest} is ${packingNames[unpacked.packing]}, and not ${packingNames[stated]} as its media type says`;
    onEvent({ type: 'warning', key: pull.wanted.key, message });
  };
  const transfers = [config, ...blobs.values()];
  const unpacking = unpacker ? pull.resolved.layers.map(({ digest }, position) => unpack(digest, position)) : [];
  for (const part of [...transfers, ...unpacking]) part.catch((error: unknown) => stop.abort(error));
  await Promise.allSettled(transfers);
  if (!either.aborted) progress.end();
  await Promise.allSettled(unpacking);
  either.throwIfAborted();
  const documents = [...pull.resolved.indexes, pull.resolved.manifest];
  const bytes = documents.reduce((sum, document) => sum + document.bytes.byteLength, progress.bytes);
  const { platform, config: document } = await config;
  return { config: document, platform, bytesDownloaded: bytes };
}

const packingNames: Readonly<Record<LayerPacking, string>> = { tar: 'a bare tar', gzip: 'gzip', zstd: 'zstd' };

function packingOf(mediaType = ''): LayerPacking {
  if (/gzip$/.test(mediaType)) return 'gzip';
  return /zstd$/.test(mediaType) ? 'zstd' : 'tar';
}

/** The platform of an image: that of the index, since configurations often have no variant. @throws PLATFORM_MISSING, MANIFEST_INVALID */
function choosePlatformOf(
  { registries, onEvent }: FetchContext,
  { wanted, resolved }: Pull,
  { platform }: RegistryConfig,
): GoPlatform {
  if (platform.os !== '' && registries.keep !== 'oci') checkConvertible(platform);
  if (resolved.platform) return resolved.platform;
  if (platform.os === '' || wanted.platform === 'all' || runsOn(platform, wanted.platform)) return platform;
  const error = platformMissing(wanted.platform, [platform]);
  if (registries.isPlatformAsked || resolved.indexes.length > 0) throw error;
  onEvent({ type: 'warning', key: wanted.key, message: error.message });
  return platform;
}

/** Checks before the layers are downloaded that appc has a name for the platform. */
function checkConvertible(platform: GoPlatform): void {
  try {
    toAppcPlatform(platform);
  } catch (error) {
    throw notConvertible(error);
  }
}

/** Gets the configuration of an image from the store or the registry; images that share it request it once. */
async function fetchConfig(
  context: FetchContext,
  {
    client,
    resolved,
    wanted: { key, reference },
    progress,
    shared,
  }: Pull & { readonly progress: TransferProgress; readonly shared: SharedBlobs | undefined },
  signal: AbortSignal,
): Promise<RegistryDocument> {
  const { config } = resolved;
  const { slots, registries } = context;
  const { digest, mediaType } = config;
  const stored = await readDocument(context.store, config, context.limits.registryConfig);
  if (stored) return { bytes: stored, digest, mediaType };
  if (shared) await shared.mayAsk(digest, signal);
  const bring = (ofAll: AbortSignal) =>
    slots.run(reference.host, ofAll, async (slot) => {
      const observer = createObserver({ ...context, slot }, key);
      const document = await getConfig(client, reference, config, observer, ofAll);
      progress.start(config, 0)(config.size);
      return document;
    });
  return { ...(await registries.configs.get(config, bring, signal)), mediaType };
}

/** Unpacks the layers of an image that is stored. @returns its parts; undefined if a document of it is not there any more */
export async function unpackStored(
  { store, limits }: FetchContext,
  { manifest }: RegistryImage,
  unpacker: Unpacker,
  signal: AbortSignal,
): Promise<Pick<UnpackedImage, 'config' | 'layers'> | undefined> {
  const bytes = await readDocument(store, manifest, limits.registryManifest);
  const content = bytes && parseDocument({ bytes, url: '' }, manifest, limits).content;
  if (content?.kind !== 'manifest') return undefined;
  const { config, layers } = content;
  const document = await readDocument(store, config, limits.registryConfig);
  if (!document) return undefined;
  const { diffIds, platform } = parseRegistryConfig(document, layers.length);
  if (platform.os !== '') checkConvertible(platform);
  const packed = diffIds.flatMap((diffId, position) => {
    const layer = layers[position];
    return layer ? [{ digest: layer.digest, diffId }] : [];
  });
  await unpackAll(unpacker, packed, signal).catch((error: unknown) => {
    throw signal.aborted || layers.some(({ digest }) => isAnotherBlob(error, digest)) ? error : notConvertible(error);
  });
  return { config: { bytes: document, digest: config.digest }, layers };
}

/** The codes of errors in the image; any other error has its cause in the machine or the request. */
const refusals: ReadonlySet<ErrorCode> = new Set([
  'ARCHIVE_INVALID',
  'ARCHIVE_UNREADABLE',
  'DIGEST_MISMATCH',
  'LIMIT_EXCEEDED',
  'MANIFEST_INVALID',
  'NAME_INVALID',
  'PLATFORM_MISSING',
]);

/** The error of a failed conversion, with the hint that the image can be stored without conversion. */
export function notConvertible(error: unknown): unknown {
  if (!isImageError(error) || !refusals.has(error.code)) return error;
  const message = `${error.message}; it can be kept as it is, as an image of OCI`;
  return new ImageError(error.code, message, { ...error.details, keep: 'oci' }, { cause: error.cause });
}
