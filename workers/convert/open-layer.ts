import { ImageError } from '../../src/errors.ts';
import { boundSilence } from '../decompress/bound-silence.ts';
import { gunzip } from '../decompress/gunzip.ts';
import { createLookahead } from '../decompress/lookahead.ts';
import { sniff, sniffBytes } from '../decompress/sniff.ts';
import { unzstd } from '../decompress/unzstd.ts';
import { threadMemory } from '../memory.ts';

/** How the bytes of a layer are packed. */
export type LayerPacking = 'tar' | 'gzip' | 'zstd';

export type OpenedLayer = {
  readonly packing: LayerPacking;
  /** The bytes of the tar; none at all, or only zeros, for a layer without entries. */
  readonly chunks: AsyncIterable<Uint8Array>;
};

/**
 * Finds out by its first bytes how a layer is compressed, whatever its media type says, and undoes that.
 *
 * @param digest - shown in errors.
 * @throws ARCHIVE_UNREADABLE, here for what is no layer, from reading for what is damaged; what `chunks` throws.
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

/** @returns `tar`, `gzip`, `zstd`, or what a person would call it. */
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
      return sniffed.name;
  }
}

function notALayer(digest: string, looksLike: string): ImageError<'ARCHIVE_UNREADABLE'> {
  const message = `not a layer but ${looksLike}; a layer is a tar, plain or as gzip or zstd`;
  return new ImageError('ARCHIVE_UNREADABLE', message, { path: digest, looksLike });
}
