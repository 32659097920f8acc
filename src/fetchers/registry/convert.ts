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

/** The input of a conversion: `tars` are the paths of the layers, by position. */
type Unpacked = { readonly config: RegistryDocument; readonly tars: readonly string[] };

/** Converts an image with unpacked layers to an archive, and commits it. */
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

/** Runs the conversion. It cannot be stopped: after an abort its output is removed when it ends. */
async function convert({ pool }: FetchContext, request: ConvertRequest, signal: AbortSignal): Promise<ConvertResponse> {
  const converting = pool.run('convert', request);
  try {
    return await abortable(converting, signal);
  } catch (error) {
    converting.then(() => rm(request.image, { force: true })).catch(() => undefined); // the failure has been reported
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

/** The most layers that are unpacked at a time; several, since decompression runs in threads of its own. */
const atOnce = 4;

type UnpackRequest = { readonly position: number; readonly digest: Digest; readonly diffId: Digest };

/** Unpacks layers of an image while others are downloaded. Disposing of it removes the unpacked tars. */
export type Unpacker = AsyncDisposable & {
  /** Unpacks a layer whose blob is stored. @throws DIGEST_MISMATCH, ARCHIVE_UNREADABLE, LIMIT_EXCEEDED, FILE_ and STORE_ codes */
  unpack(layer: UnpackRequest, signal: AbortSignal): Promise<UnpackLayerResponse>;
  /** The paths of the unpacked layers, by position. */
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
    // the task cannot be stopped: after the disposal its output is removed when it ends
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

/** Whether the blob itself is damaged: then the image cannot be stored without conversion either. */
function isAnotherBlob(error: unknown, digest: Digest): boolean {
  return hasCode(error, 'DIGEST_MISMATCH') && error.details.asked === digest;
}

function remove(path: string): Promise<void> {
  return rm(path, { force: true });
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
