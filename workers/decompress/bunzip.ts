import type { Memory } from '../memory.ts';
import { type Block, expandBlock, readBlock } from './bzip2-block.ts';
import { type BitReader, createBitReader, outOfBits } from './bzip2-tables.ts';
import { createLookahead, type Lookahead, unreadable } from './lookahead.ts';

const outputBytes = 256 * 1024;
/** Memory for one block, packed and unpacked. */
const heldBytes = 8 * 1024 * 1024;

type Piece = { readonly kind: 'block'; readonly block: Block } | { readonly kind: 'end'; readonly crc: number };

/**
 * Decompresses a bzip2 file of one or more streams. Keeps one block in memory, packed and unpacked: at most 7 MB.
 *
 * The packages for bzip2 loop for ever on a run that overflows, or need the whole file at once.
 *
 * @param path - shown in errors. @param memory - reserves memory for a block.
 * @throws ARCHIVE_UNREADABLE for a stream that is damaged, incomplete, or followed by other bytes; what `chunks`
 * throws.
 * @see docs/rules.md A2; docs/decisions/own-bzip2.md
 */
export async function* bunzip(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
  memory: Memory,
): AsyncGenerator<Uint8Array> {
  using _share = await memory.reserve(heldBytes);
  const input = createLookahead(chunks);
  let chain = new Uint32Array();
  do {
    const blockBytes = (await readLevel(input, path)) * 100_000;
    // shared by all streams: an empty one has only 14 bytes
    if (chain.length < blockBytes) chain = new Uint32Array(blockBytes);
    yield* readStream(input, chain.subarray(0, blockBytes), path);
    await input.want(1);
  } while (input.held().length > 0);
}

async function readLevel(input: Lookahead, path: string): Promise<number> {
  await input.want(4);
  const level = /^BZh([1-9])$/.exec(input.held().toString('latin1', 0, 4))?.[1];
  if (level === undefined) throw unreadable(path, 'there is something behind its bzip2 stream');
  input.drop(4);
  return Number(level);
}

/** @param chain - as long as the largest block of the stream. */
async function* readStream(input: Lookahead, chain: Uint32Array, path: string): AsyncGenerator<Uint8Array> {
  let crc = 0;
  for (let bit = 0; ;) {
    await input.want(packedBytes(chain.length));
    const reader = createBitReader(input.held(), bit);
    const piece = readPiece(reader, chain, path);
    if (piece.kind === 'end') {
      if (piece.crc !== crc) throw damaged(path);
      input.drop(Math.ceil(reader.position() / 8));
      return;
    }
    yield* expand(piece.block, path);
    crc = (((crc << 1) | (crc >>> 31)) ^ piece.block.crc) >>> 0;
    input.drop(reader.position() >> 3);
    bit = reader.position() & 7;
  }
}

/** The largest packed size of a block: 20 bits for each byte, and its tables. */
function packedBytes(blockBytes: number): number {
  return blockBytes * 2.5 + 65_536;
}

function readPiece(reader: BitReader, chain: Uint32Array, path: string): Piece {
  try {
    const magic = reader.take(24) * 0x1000000 + reader.take(24);
    if (magic === 0x177245385090) return { kind: 'end', crc: ((reader.take(16) << 16) | reader.take(16)) >>> 0 };
    const block = magic === 0x314159265359 ? readBlock(reader, chain) : undefined;
    if (!block) throw damaged(path);
    return { kind: 'block', block };
  } catch (error) {
    if (error === outOfBits) throw unreadable(path, 'its bzip2 stream is cut short');
    throw error;
  }
}

function* expand(block: Block, path: string): Generator<Uint8Array> {
  const expansion = expandBlock(block);
  for (let isMore = true; isMore;) {
    const output = Buffer.allocUnsafeSlow(outputBytes);
    const written = expansion.fill(output);
    if (written > 0) yield output.subarray(0, written);
    isMore = written === output.length;
  }
  if (expansion.crc() !== block.crc) throw damaged(path);
}

function damaged(path: string): Error {
  return unreadable(path, 'its bzip2 stream is damaged');
}
