/** What the start of an .xz file says of how to read it. */
export type XzHeader = {
  /** What the decoder does not read, as a person would call it; undefined when it reads all of it. */
  readonly unsupported: string | undefined;
  /** Of the first block; 0 for a file without one. */
  readonly dictionaryBytes: number;
};

/** Bytes from the start within which the first block's header ends. */
export const xzHeaderBytes = 12 + 1024;

/** The decoder's own bound. */
const dictionaryMaximum = 64 * 1024 * 1024;

const checks: ReadonlyMap<number, string> = new Map([
  [0, 'none'],
  [1, 'crc32'],
  [4, 'crc64'],
]);
const sha256 = 10;

const filters: ReadonlyMap<number, string> = new Map([
  [0x03, 'delta'],
  [0x04, 'x86'],
  [0x05, 'PowerPC'],
  [0x06, 'IA-64'],
  [0x07, 'ARM'],
  [0x08, 'ARM-Thumb'],
  [0x09, 'SPARC'],
  [0x0a, 'ARM64'],
  [0x0b, 'RISC-V'],
]);
const lzma2 = 0x21;

/**
 * Reads the headers of the stream and of its first block as far as they are there; what is damaged in them is the decoder's to
 * find.
 *
 * @see the .xz file format 1.2.1, 2.1.1 and 3.1
 */
export function readXzHeader(start: Buffer): XzHeader {
  const check = start[7] ?? 0;
  if (!checks.has(check)) {
    const name = check === sha256 ? 'a sha256 check' : `a check of type ${check}`;
    return { unsupported: `xz with ${name}`, dictionaryBytes: 0 };
  }
  const block = readBlockFilters(start.subarray(12));
  const other = block.find(({ id }) => id !== lzma2);
  if (other) {
    const name = filters.get(other.id) ?? other.id.toString(16);
    return { unsupported: `xz with the ${name} filter`, dictionaryBytes: 0 };
  }
  const dictionaryBytes = sizeOf(block[0]?.properties[0] ?? 0, block.length);
  const unsupported = dictionaryBytes > dictionaryMaximum ? 'xz with a dictionary of more than 64 MiB' : undefined;
  return { unsupported, dictionaryBytes };
}

type Filter = { readonly id: number; readonly properties: Buffer };

function readBlockFilters(header: Buffer): readonly Filter[] {
  const flags = header[1] ?? 0;
  if ((header[0] ?? 0) === 0) return []; // the index of a stream without blocks
  let at = 2;
  const readNumber = (): number => {
    let value = 0;
    for (let shift = 0; shift < 63; shift += 7) {
      const byte = header[at] ?? 0;
      at += 1;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  if ((flags & 0x40) !== 0) readNumber(); // packed size
  if ((flags & 0x80) !== 0) readNumber(); // unpacked size
  const found: Filter[] = [];
  for (let left = (flags & 3) + 1; left > 0; left--) {
    const id = readNumber();
    const bytes = readNumber();
    found.push({ id, properties: header.subarray(at, at + bytes) });
    at += bytes;
  }
  return found;
}

/** A dictionary's size takes the form 2^n or 2^n + 2^(n-1). */
function sizeOf(bits: number, filterCount: number): number {
  return filterCount === 0 ? 0 : (2 | (bits & 1)) * 2 ** ((bits & 0x3f) / 2 + 11 - (bits & 1) / 2);
}
