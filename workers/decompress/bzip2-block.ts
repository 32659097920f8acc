import { type BitReader, type BlockTables, codeBits, type HuffmanTable, readBlockTables } from './bzip2-tables.ts';

/**
 * A block before its sorting is undone. Each element of `chain` has the index of the next one in its upper 24 bits, and
 * a byte in its lower 8 bits.
 */
export type Block = {
  readonly chain: Uint32Array;
  readonly length: number;
  readonly origin: number;
  /** The checksum of the block's bytes, as the file states it. */
  readonly crc: number;
};

const groupSize = 50;

/**
 * Reads a block, after its magic number.
 *
 * @param chain - as long as the largest block; the result uses it.
 * @returns undefined when the block is damaged. @throws outOfBits
 */
export function readBlock(reader: BitReader, chain: Uint32Array): Block | undefined {
  const crc = ((reader.take(16) << 16) | reader.take(16)) >>> 0;
  const isRandomised = reader.take(1) === 1; // no encoder has set this since 1997
  const origin = reader.take(24);
  const tables = readBlockTables(reader);
  if (isRandomised || !tables) return undefined;
  const counts = new Uint32Array(256);
  const length = readSymbols(reader, tables, chain, counts);
  if (length === undefined || origin >= length) return undefined;
  link(chain, length, counts);
  return { chain, length, origin, crc };
}

/** Undoes Huffman, zero-run and move-to-front coding. @returns the number of bytes. */
function readSymbols(
  reader: BitReader,
  { alphabet, selectors, tables }: BlockTables,
  bytes: Uint32Array,
  counts: Uint32Array,
): number | undefined {
  const recent = Uint8Array.from(alphabet);
  const endSymbol = alphabet.length + 1;
  let length = 0;
  let run = 0;
  let runDigit = 1;
  for (const selector of selectors) {
    const table = tables[selector];
    if (!table) return undefined;
    for (let index = 0; index < groupSize; index++) {
      const symbol = readSymbol(reader, table);
      if (symbol === undefined) return undefined;
      if (symbol <= 1) {
        run += runDigit << symbol;
        runDigit <<= 1;
        if (run > bytes.length) return undefined;
        continue;
      }
      if (run > 0) {
        const byte = recent[0] ?? 0;
        if (length + run > bytes.length) return undefined;
        bytes.fill(byte, length, length + run);
        counts[byte] = (counts[byte] ?? 0) + run;
        length += run;
        run = 0;
        runDigit = 1;
      }
      if (symbol === endSymbol) return length;
      if (length === bytes.length) return undefined;
      const byte = recent[symbol - 1] ?? 0;
      // usually few elements, where copyWithin is slower
      for (let back = symbol - 1; back > 0; back--) recent[back] = recent[back - 1] ?? 0;
      recent[0] = byte;
      bytes[length] = byte;
      counts[byte] = (counts[byte] ?? 0) + 1;
      length += 1;
    }
  }
  return undefined;
}

/** Peeks at as many bits as the longest code has: after a block there are always more bits than that. */
function readSymbol(
  reader: BitReader,
  { shortest, longest, lastCode, offset, symbols }: HuffmanTable,
): number | undefined {
  const bits = reader.peek(codeBits);
  let length = shortest;
  while (length <= longest && bits > (lastCode[length] ?? -1)) length += 1;
  if (length > longest) return undefined;
  reader.skip(length);
  return symbols[(bits >>> (codeBits - length)) + (offset[length] ?? 0)];
}

/** Writes the index of the next element into each element. */
function link(chain: Uint32Array, length: number, counts: Uint32Array): void {
  const next = new Uint32Array(256);
  let sum = 0;
  for (const [byte, count] of counts.entries()) {
    next[byte] = sum;
    sum += count;
  }
  for (let place = 0; place < length; place++) {
    const byte = (chain[place] ?? 0) & 0xff;
    const from = next[byte] ?? 0;
    chain[from] = (chain[from] ?? 0) | (place << 8);
    next[byte] = from + 1;
  }
}

type Expansion = {
  /** @returns the number of bytes written; less than the length of `output` only at the end of the block. */
  fill(output: Uint8Array): number;
  /** The checksum of all bytes so far. */
  crc(): number;
};

/**
 * Undoes a block's sorting and the first step of the encoder, which replaces longer runs by four equal bytes and a
 * count.
 */
export function expandBlock({ chain, length, origin }: Block): Expansion {
  let place = (chain[origin] ?? 0) >>> 8;
  let left = length;
  let byte = 0;
  let equal = 0;
  let repeat = 0;
  let crc = 0xffffffff;

  return {
    fill(output) {
      let at = 0;
      while (at < output.length) {
        if (repeat > 0) {
          repeat -= 1;
        } else {
          if (left === 0) return at;
          left -= 1;
          const entry = chain[place] ?? 0;
          place = entry >>> 8;
          const next = entry & 0xff;
          if (equal === 4) {
            repeat = next;
            equal = 0;
            continue;
          }
          equal = next === byte ? equal + 1 : 1;
          byte = next;
        }
        output[at] = byte;
        at += 1;
        crc = (crc << 8) ^ (crcTable[((crc >>> 24) ^ byte) & 0xff] ?? 0);
      }
      return at;
    },
    crc: () => ~crc >>> 0,
  };
}

/** CRC-32 with the most significant bit first; gzip uses another one. */
const crcTable = Int32Array.from({ length: 256 }, (_, index) => {
  let value = index << 24;
  for (let bit = 0; bit < 8; bit++) value = (value << 1) ^ (value < 0 ? 0x04c11db7 : 0);
  return value;
});
