import { createHash } from 'node:crypto';

import { ImageError, isImageError } from '../../src/errors.ts';
import { withOutput, type Write } from '../output.ts';
import { openFile, readChunks } from '../read-file.ts';
import { reHash } from '../re-hash.ts';
import { overLimit } from '../tar/refuse.ts';
import type { Handler } from '../tasks.ts';
import { inLayer } from './in-layer.ts';
import { openLayer } from './open-layer.ts';
import type { UnpackLayerRequest, UnpackLayerResponse } from './requests.ts';

/**
 * Reads a layer once: decompression, both digests. A compressed layer's tar is written to a file; a plain one is its own.
 *
 * @throws DIGEST_MISMATCH, ARCHIVE_UNREADABLE, LIMIT_EXCEEDED, FILE_NOT_FOUND, FILE_UNREADABLE, STORE_FULL,
 * STORE_READ_ONLY, STORE_CORRUPT; the tar is gone then
 * @see docs/rules.md R2, R8
 */
export const unpackLayer: Handler<'unpackLayer'> = async (request) => {
  try {
    return await unpack(request);
  } catch (error) {
    // What is not the layer that was named need not be judged.
    if (isImageError(error) && error.code.startsWith('ARCHIVE_')) await checkBlob(request);
    throw inLayer(request.digest, error);
  }
};

async function unpack({ path, digest, diffId, ...request }: UnpackLayerRequest): Promise<UnpackLayerResponse> {
  await using source = await openFile(path, digest);
  const transferred = createHash('sha256');
  const { packing, chunks } = await openLayer(hashing(readChunks(source, digest), transferred), digest);
  const unpacked = createHash('sha256');
  const total = new BigUint64Array(request.unpacked);
  let size = 0;
  const drain = async (write?: Write): Promise<void> => {
    for await (const chunk of chunks) {
      size += chunk.length;
      const added = BigInt(chunk.length);
      if (Atomics.add(total, 0, added) + added > request.unpackedBytes)
        throw overLimit('unpacked', request.unpackedBytes, 'the layers are too large');
      unpacked.update(chunk);
      write?.(chunk);
    }
    checkDigest(digest, transferred.digest('hex'), 'a layer is not what its digest names');
    checkDigest(diffId, unpacked.digest('hex'), `layer ${digest} does not unpack to what the image's config names`);
  };
  const isPlain = packing === 'tar';
  await (isPlain ? drain() : withOutput(request.tar, drain, { sync: false }));
  return { tar: isPlain ? path : request.tar, size, packing };
}

async function* hashing(
  chunks: AsyncIterable<Uint8Array>,
  hash: { update(chunk: Uint8Array): unknown },
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

async function checkBlob({ path, digest }: UnpackLayerRequest): Promise<void> {
  const { hex } = await reHash({ path, algorithm: 'sha256' });
  checkDigest(digest, hex, 'a layer is not what its digest names');
}

function checkDigest(asked: string, hex: string, what: string): void {
  const found = `sha256:${hex}`;
  if (found === asked) return;
  throw new ImageError('DIGEST_MISMATCH', `${what}: want ${asked}, got ${found}`, { asked, found });
}
