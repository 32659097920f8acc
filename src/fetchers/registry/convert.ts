import { rm } from 'node:fs/promises';

import PQueue from 'p-queue';

import type { ConvertRequest, ConvertResponse, UnpackLayerResponse } from '../../../workers/convert/requests.ts';
import { type ErrorCode, hasCode, ImageError, isImageError } from '../../errors.ts';
import type { Digest } from '../../image/digest.ts';
import { ingestLimits } from '../../pool/pool.ts';
import type { RegistryDocument } from '../../registry/types.ts';
import type { StoredImage } from '../../store/store.ts';
import { abortable } from '../../system/single-flight.ts';
import type { FetchContext } from '../context.ts';
import { isLatest, type Pull } from './image.ts';
import { provenanceOf } from './signatures.ts';
import { recordOf } from './stored.ts';

/** What an archive is made of: `tars` are those of the layers, by position. */
type Unpacked = { readonly config: RegistryDocument; readonly tars: readonly string[] };

/** Makes an archive of an image whose layers are unpacked, and commits it. */
export async function convertImage(
  context: FetchContext,
  pull: Pull,
  unpacked: Unpacked,
  signal: AbortSignal,
): Promise<StoredImage> {
  const { store, onEvent, nowMs } = context;
  const { wanted, resolved, verified } = pull;
  const { key, source, url, reference } = wanted;
  const path = store.temporaryPath();
  const { imageId, size, stamp, manifest, parsed, warnings } = await convert(
    context,
    requestOf(context, pull, unpacked, path),
    signal,
  );
  for (const message of warnings) onEvent({ type: 'warning', key, message });
  onEvent({ type: 'ingested', key, imageID: imageId, size });
  const { name, labels, dependencies } = parsed;
  const about = { source, digest: resolved.manifest.digest, latest: isLatest(reference), ...provenanceOf(verified) };
  const commit = {
    path,
    stamp,
    image: { imageId, name, labels, dependencies, size, ...about },
    manifest,
    remote: { url, record: recordOf(imageId, resolved.digest, nowMs()) },
  };
  return store.commit(commit).catch(async (error: unknown) => {
    await rm(path, { force: true });
    throw error;
  });
}

/** A conversion cannot be told to stop: what nobody waits for any more is removed when it is done. */
async function convert({ pool }: FetchContext, request: ConvertRequest, signal: AbortSignal): Promise<ConvertResponse> {
  const converting = pool.run('convert', request);
  try {
    return await abortable(converting, signal);
  } catch (error) {
    converting.then(() => rm(request.image, { force: true })).catch(() => undefined); // it has said so already
    throw signal.aborted ? error : notConvertible(error);
  }
}

function requestOf(
  { limits }: FetchContext,
  { wanted: { reference }, resolved }: Pull,
  { config, tars }: Unpacked,
  image: string,
): ConvertRequest {
  const { host, repository, tag } = reference;
  const { manifest, indexes, layers } = resolved;
  const [index] = indexes;
  return {
    layers: tars.map((tar, position) => ({ tar, digest: layers[position]?.digest ?? '' })),
    config: config.bytes,
    origin: {
      host,
      repository,
      ...(tag !== undefined && { tag }),
      configDigest: config.digest,
      manifestDigest: manifest.digest,
      ...(index && { indexDigest: index.digest }),
    },
    image,
    limits: ingestLimits(limits),
  };
}

/** Decompression has threads of its own, so that several layers at a time keep them busy. */
const atOnce = 4;

type UnpackRequest = { readonly position: number; readonly digest: Digest; readonly diffId: Digest };

/** Unpacks an image's layers while others are still on their way; the tars are gone when it is disposed of. */
export type Unpacker = AsyncDisposable & {
  /** A layer whose blob is there. @throws DIGEST_MISMATCH, ARCHIVE_UNREADABLE, LIMIT_EXCEEDED, FILE_ and STORE_ codes */
  unpack(layer: UnpackRequest, signal: AbortSignal): Promise<UnpackLayerResponse>;
  /** Paths, by position, of those that are unpacked. */
  readonly tars: readonly string[];
};

export function openUnpacker({ store, pool, limits }: Pick<FetchContext, 'store' | 'pool' | 'limits'>): Unpacker {
  const queue = new PQueue({ concurrency: atOnce });
  const tars: string[] = [];
  const made: string[] = [];
  const unpacked = new SharedArrayBuffer(8);
  let isOver = false;

  const unpackNow = async ({ position, digest, diffId }: UnpackRequest, signal: AbortSignal) => {
    signal.throwIfAborted();
    const tar = store.temporaryPath();
    const path = store.digestPath(digest);
    const request = { path, digest, diffId, tar, unpackedBytes: limits.unpacked, unpacked };
    const unpacking = pool.run('unpackLayer', request);
    // It cannot be told to stop: what nobody waits for any more is removed when it is done.
    unpacking.then(() => (isOver ? remove(tar) : undefined)).catch(() => undefined);
    made.push(tar);
    const layer = await abortable(unpacking, signal).catch((error: unknown) => {
      throw signal.aborted || isAnotherBlob(error, digest) ? error : notConvertible(error);
    });
    tars[position] = layer.tar;
    return layer;
  };

  return {
    tars,
    unpack: (layer, signal) => queue.add(() => unpackNow(layer, signal)),
    async [Symbol.asyncDispose]() {
      isOver = true;
      await Promise.all(made.map(remove));
    },
  };
}

/** Bytes that are not what their digest names are no image's, converted or not. */
function isAnotherBlob(error: unknown, digest: Digest): boolean {
  return hasCode(error, 'DIGEST_MISMATCH') && error.details.asked === digest;
}

function remove(path: string): Promise<void> {
  return rm(path, { force: true });
}

/** What an image is refused for; anything else is about the machine, or about what was asked. */
const refusals: ReadonlySet<ErrorCode> = new Set([
  'ARCHIVE_INVALID',
  'ARCHIVE_UNREADABLE',
  'DIGEST_MISMATCH',
  'LIMIT_EXCEEDED',
  'MANIFEST_INVALID',
  'NAME_INVALID',
  'PLATFORM_MISSING',
]);

/** The failure of a conversion, with what can be done with an image that is only refused by that. */
export function notConvertible(error: unknown): unknown {
  if (!isImageError(error) || !refusals.has(error.code)) return error;
  const message = `${error.message}; it can be kept as it is, with --keep=oci`;
  return new ImageError(error.code, message, { ...error.details, keep: 'oci' }, { cause: error.cause });
}
