import { rm } from 'node:fs/promises';

import PQueue from 'p-queue';

import { hasCode } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { abortable } from '../pool/abortable.ts';
import type { FetchContext } from './context.ts';
import type { UnpackLayerResponse } from '../../workers/convert/requests.ts';
import { notConvertible } from './not-convertible.ts';

/** Decompression has threads of its own, so that several layers at a time keep them busy. */
const atOnce = 4;

export type UnpackRequest = { readonly position: number; readonly digest: Digest; readonly diffId: Digest };

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
