import { rm } from 'node:fs/promises';

import PQueue from 'p-queue';

import type { ConvertRequest, ConvertResponse, UnpackLayerResponse } from '../../workers/convert/requests.ts';
import { hasCode } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import type { Limits } from '../image/limits.ts';
import type { RegistryReference } from '../image/registry-reference.ts';
import { abortable } from '../system/single-flight.ts';
import { ingestLimits, type Pool } from './pool.ts';

/** The most layers that are unpacked at a time; several, since decompression runs in threads of its own. */
const atOnce = 4;

type UnpackRequest = { readonly position: number; readonly digest: Digest; readonly diffId: Digest };

/** Unpacks layers of an image, also while others are still downloaded. Disposing of it removes the unpacked tars. */
export type Unpacker = AsyncDisposable & {
  /** Unpacks a layer whose blob is there. @throws DIGEST_MISMATCH, ARCHIVE_UNREADABLE, LIMIT_EXCEEDED, FILE_ and STORE_ codes */
  unpack(layer: UnpackRequest, signal: AbortSignal): Promise<UnpackLayerResponse>;
  /** The paths of the unpacked layers, by position. */
  readonly tars: readonly string[];
};

type UnpackerOptions = {
  /** The paths of blobs, and new names for tars. */
  readonly store: { digestPath(digest: Digest): string; temporaryPath(): string };
  readonly pool: Pool;
  readonly limits: Pick<Limits, 'unpacked'>;
};

export function openUnpacker({ store, pool, limits }: UnpackerOptions): Unpacker {
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
    const layer = await abortable(unpacking, signal);
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

/** Unpacks all layers of an image, the lowest first. If one fails, the others are let go. @throws as unpack */
export async function unpackAll(
  unpacker: Unpacker,
  layers: readonly Omit<UnpackRequest, 'position'>[],
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const unpacking = layers.map((layer, position) => unpacker.unpack({ ...layer, position }, either));
  for (const one of unpacking) one.catch((error: unknown) => stop.abort(error));
  await Promise.allSettled(unpacking);
  either.throwIfAborted();
}

/** Whether a layer could not be unpacked because its blob itself is damaged, and not what is packed in it. */
export function isAnotherBlob(error: unknown, digest: Digest): boolean {
  return hasCode(error, 'DIGEST_MISMATCH') && error.details.asked === digest;
}

function remove(path: string): Promise<void> {
  return rm(path, { force: true });
}

/** An image of a registry with unpacked layers. The same one always makes the same archive, with the same ID. */
export type UnpackedImage = {
  /** Its tag becomes the version. */
  readonly reference: Pick<RegistryReference, 'host' | 'repository' | 'tag'>;
  readonly manifest: Digest;
  /** The index that the reference stood for. */
  readonly index: Digest | undefined;
  readonly config: { readonly bytes: Uint8Array; readonly digest: Digest };
  /** The lowest first. */
  readonly layers: readonly { readonly digest: Digest }[];
  /** The paths of the unpacked layers, by position. */
  readonly tars: readonly string[];
};

/**
 * Makes the archive of an image as a new, synced file at `path`. It cannot be stopped: after an abort the file is removed when it is
 * complete.
 *
 * @throws MANIFEST_INVALID, PLATFORM_MISSING, ARCHIVE_INVALID, LIMIT_EXCEEDED, NAME_INVALID, FILE_ and STORE_ codes
 */
export async function makeArchive(
  pool: Pool,
  image: UnpackedImage,
  { path, limits }: { readonly path: string; readonly limits: Limits },
  signal: AbortSignal,
): Promise<ConvertResponse> {
  const converting = pool.run('convert', requestOf(image, path, limits));
  try {
    return await abortable(converting, signal);
  } catch (error) {
    converting.then(() => remove(path)).catch(() => undefined); // the failure has been reported
    throw error;
  }
}

function requestOf(
  { reference, manifest, index, config, layers, tars }: UnpackedImage,
  image: string,
  limits: Limits,
): ConvertRequest {
  const { host, repository, tag } = reference;
  return {
    layers: tars.map((tar, position) => ({ tar, digest: layers[position]?.digest ?? '' })),
    config: config.bytes,
    origin: {
      host,
      repository,
      ...(tag !== undefined && { tag }),
      configDigest: config.digest,
      manifestDigest: manifest,
      ...(index !== undefined && { indexDigest: index }),
    },
    image,
    limits: ingestLimits(limits),
  };
}
