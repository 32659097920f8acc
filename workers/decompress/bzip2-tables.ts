/**
 * A table of codes of up to 20 bits. For each length it has the last code, filled up to 20 bits with ones, and the
 * offset in `symbols`.
 */
export type HuffmanTable = {
  readonly shortest: number;
  readonly longest: number;
  readonly lastCode: Int32Array;
  readonly offset: Int32Array;
  readonly symbols: Uint16Array;
};

export type BlockTables = {
  /** The bytes that occur in the block, ascending. */
  readonly alphabet: readonly number[];
  /** The index of the table for each group of 50 symbols. */
  readonly selectors: Uint8Array;
  readonly tables: readonly HuffmanTable[];
};

export const codeBits = 20;

/** @returns undefined when the tables are damaged. */
export function readBlockTables(reader: BitReader): BlockTables | undefined {
  const alphabet = readAlphabet(reader);
  const count = reader.take(3);
  const selectorCount = reader.take(15);
  if (alphabet.length === 0 || count < 2 || count > 6 || selectorCount === 0) return undefined;
  const selectors = readSelectors(reader, count, selectorCount);
  const tables: HuffmanTable[] = [];
  for (let index = 0; index < count; index++) {
    const table = readTable(reader, alphabet.length + 2);
    if (table) tables.push(table);
  }
  return selectors && tables.length === count ? { alphabet, selectors, tables } : undefined;
}

/** 16 bits select ranges of 16 bytes, then 16 bits for each of these select the bytes. */
function readAlphabet(reader: BitReader): readonly number[] {
  const alphabet: number[] = [];
  const ranges = reader.take(16);
  for (let range = 0; range < 16; range++) {
    if ((ranges & (0x8000 >> range)) === 0) continue;
    const bytes = reader.take(16);
    for (let byte = 0; byte < 16; byte++) if ((bytes & (0x8000 >> byte)) !== 0) alphabet.push(range * 16 + byte);
  }
  return alphabet;
}

/** Unary numbers: the position of each table in the list of recently used tables. */
function readSelectors(reader: BitReader, tables: number, count: number): Uint8Array | undefined {
  const recent = Array.from({ length: tables }, (_, index) => index);
  const selectors = new Uint8Array(count);
  for (let index = 0; index < count; index++) {
    let back = 0;
    while (reader.take(1) === 1) back += 1;
    const [table] = recent.splice(back, 1);
    if (table === undefined) return undefined;
    recent.unshift(table);
    selectors[index] = table;
  }
  return selectors;
}

/** The length of each symbol's code, as the difference to the previous one. */
function readTable(reader: BitReader, symbols: number): HuffmanTable | undefined {
  const lengths: number[] = [];
  let length = reader.take(5);
  while (lengths.length < symbols) {
    if (length < 1 || length > codeBits) return undefined;
    if (reader.take(1) === 0) lengths.push(length);
    else length += reader.take(1) === 0 ? 1 : -1;
  }
  return buildTable(lengths);
}

function buildTable(lengths: readonly number[]): HuffmanTable | undefined {
  const lastCode = new Int32Array(codeBits + 1).fill(-1);
  const offset = new Int32Array(codeBits + 1);
  const symbols: number[] = [];
  let code = 0;
  for (let length = 1; length <= codeBits; length++) {
    code <<= 1;
    offset[length] = symbols.length - code;
    for (const [symbol, codeLength] of lengths.entries()) if (codeLength === length) symbols.push(symbol);
    code = symbols.length - (offset[length] ?? 0);
    lastCode[length] = (code << (codeBits - length)) - 1;
    if (code > 1 << length) return undefined;
  }
  return {
    shortest: Math.min(...lengths),
    longest: Math.max(...lengths),
    lastCode,
    offset,
    symbols: Uint16Array.from(symbols),
  };
}

/** Thrown when there are no more bits. The caller knows whether more input follows. */
export const outOfBits = new Error('out of bits');

export type BitReader = {
  /** The next bits, at most 24, most significant first. @throws outOfBits */
  take(count: number): number;
  /** Returns the next bits without consuming them. @throws outOfBits */
  peek(count: number): number;
  skip(count: number): void;
  /** Skips to the next whole byte. */
  align(): void;
  /** The number of bits consumed. */
  position(): number;
};

export function createBitReader(bytes: Uint8Array, startBit: number): BitReader {
  let at = startBit >> 3;
  let held = 0;
  let heldBits = 0;

  const peek = (count: number): number => {
    while (heldBits < count) {
      if (at >= bytes.length) throw outOfBits;
      held = (held << 8) | (bytes[at] ?? 0);
      heldBits += 8;
      at += 1;
    }
    return (held >>> (heldBits - count)) & ((1 << count) - 1);
  };
  const skip = (count: number): void => {
    heldBits -= count;
  };
  const take = (count: number): number => {
    const value = peek(count);
    heldBits -= count;
    return value;
  };
  const reader: BitReader = {
    take,
    peek,
    skip,
    align: () => (heldBits -= heldBits % 8),
    position: () => at * 8 - heldBits,
  };
  take(startBit & 7);
  return reader;
}
