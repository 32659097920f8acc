import { createHash } from 'node:crypto';

import { ImageError, isImageError } from '../../src/errors.ts';
import { boundSilence } from '../decompress/bound-silence.ts';
import { gunzip } from '../decompress/gunzip.ts';
import { createLookahead } from '../decompress/lookahead.ts';
import { oldTar, sniff, sniffBytes } from '../decompress/open-archive.ts';
import { unzstd } from '../decompress/unzstd.ts';
import { withOutput, type Write } from '../ingest/output.ts';
import { openFile, readChunks, reHash } from '../ingest/read-file.ts';
import { threadMemory } from '../memory.ts';
import { overLimit } from '../tar/refuse.ts';
import type { Handler } from '../tasks.ts';
import { inLayer } from './read-tree.ts';
import type { LayerPacking, UnpackLayerRequest, UnpackLayerResponse } from './requests.ts';

/**
 * Reads a layer once: decompresses it and checks both digests. The tar of a compressed layer is written to a file; an
 * uncompressed layer is used as it is.
 *
 * @throws DIGEST_MISMATCH, ARCHIVE_UNREADABLE, LIMIT_EXCEEDED, FILE_NOT_FOUND, FILE_UNREADABLE, STORE_FULL,
 * STORE_READ_ONLY, STORE_CORRUPT; then the tar file has been removed
 * @see docs/rules.md R2, R8
 */
export const unpackLayer: Handler<'unpackLayer'> = async (request) => {
  try {
    return await unpack(request);
  } catch (error) {
    // A wrong digest is reported rather than the faults of a blob that is not the layer.
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
  throw new ImageError('DIGEST_MISMATCH', `${what}: expected ${asked}, got ${found}`, { asked, found });
}

export type OpenedLayer = {
  readonly packing: LayerPacking;
  /** The bytes of the tar. A layer without entries has none, or only zeros. */
  readonly chunks: AsyncIterable<Uint8Array>;
};

/**
 * Detects the compression of a layer by its first bytes, ignoring its media type, and decompresses it.
 *
 * @param digest - shown in errors.
 * @throws ARCHIVE_UNREADABLE, here when it is no layer, from `chunks` when it is damaged; and what the input throws.
 * @see docs/rules.md A2, R8; OCI image-spec layer.md
 */
export async function openLayer(chunks: AsyncIterable<Uint8Array>, digest: string): Promise<OpenedLayer> {
  const input = createLookahead(chunks);
  await input.want(sniffBytes);
  const packing = sniffLayer(input.held());
  switch (packing) {
    case 'tar':
      return { packing, chunks: input.rest() };
    case 'gzip':
      return {
        packing,
        chunks: checkInside(
          boundSilence(input.rest(), (rest) => gunzip(rest, digest)),
          digest,
        ),
      };
    case 'zstd':
      return {
        packing,
        chunks: checkInside(
          boundSilence(input.rest(), (rest) => unzstd(rest, digest, threadMemory())),
          digest,
        ),
      };
    default:
      throw notALayer(digest, packing);
  }
}

async function* checkInside(chunks: AsyncIterable<Uint8Array>, digest: string): AsyncGenerator<Uint8Array> {
  const output = createLookahead(chunks);
  await output.want(sniffBytes);
  const what = sniffLayer(output.held());
  if (what !== 'tar') throw notALayer(digest, `${what}, compressed`);
  yield* output.rest();
}

/** @returns `tar`, `gzip`, `zstd`, or the usual name of another format. */
function sniffLayer(held: Buffer): string {
  const start = held.subarray(0, sniffBytes);
  if (start.every((byte) => byte === 0)) return 'tar';
  const isSkippable = start.length >= 4 && (start.readUInt32LE() & 0xfffffff0) >>> 0 === 0x184d2a50;
  if (isSkippable) return 'zstd';
  const sniffed = sniff(start);
  switch (sniffed.kind) {
    case 'tar':
      return 'tar';
    case 'compressed':
      return sniffed.compression;
    case 'other':
      return sniffed.name === oldTar ? 'tar' : sniffed.name;
  }
}

function notALayer(digest: string, looksLike: string): ImageError<'ARCHIVE_UNREADABLE'> {
  const message = `not a layer but ${looksLike}; a layer is a tar, plain or as gzip or zstd`;
  return new ImageError('ARCHIVE_UNREADABLE', message, { path: digest, looksLike });
}
