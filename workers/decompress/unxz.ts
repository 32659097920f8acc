import type { Memory } from '../memory.ts';
import { createLookahead, unreadable, unsupported } from './lookahead.ts';

/** xz-embedded, compiled to WebAssembly. It reads and writes through fixed-size buffers in its own memory. */
type Decoder = {
  readonly memory: { readonly buffer: ArrayBuffer };
  create_context(): number;
  /** 0 bytes mean the end of the input. */
  supply_input(context: number, bytes: number): void;
  get_next_output(context: number): number;
};

/** Memory for most files, such as those of xz -6, and for files with a larger dictionary. */
const small = { dictionary: 8 * 1024 * 1024, held: 10 * 1024 * 1024 };
const largeBytes = 66 * 1024 * 1024;

const status = { ok: 0, end: 1, memoryLimit: 4, options: 6, cutShort: 8 } as const;

/**
 * Decompresses an xz file, which may have several streams with padding between them. Reserves memory for the first
 * dictionary, at most 64 MiB; a later part may not need more memory than that.
 *
 * @param path - shown in errors. @param memory - reserves memory for the dictionary.
 * @throws ARCHIVE_UNREADABLE for a file that is damaged, incomplete, followed by other bytes, or uses filters or check
 * values that the decoder does not support (x86 and other branch filters, delta, SHA-256); what `chunks` throws.
 * @see docs/rules.md A2; the .xz file format 1.2.1
 */
export async function* unxz(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
  memory: Memory,
): AsyncGenerator<Uint8Array> {
  const input = createLookahead(chunks);
  await input.want(xzHeaderBytes);
  const header = readXzHeader(input.held());
  if (header.unsupported !== undefined) throw unsupported(path, header.unsupported);
  const bytes = header.dictionaryBytes <= small.dictionary ? small.held : largeBytes;
  using _share = await memory.reserve(bytes);
  const decoder = await instantiate();
  const context = decoder.create_context();
  const decoding: Decoding = { decoder, context, maximum: bytes, path };
  for await (const chunk of input.rest()) {
    const { inputBytes } = view(decoder, context);
    for (let at = 0; at < chunk.length; at += inputBytes) {
      yield* decode(decoding, chunk.subarray(at, at + inputBytes));
    }
  }
  yield* decode(decoding, new Uint8Array());
}

type Decoding = {
  readonly decoder: Decoder;
  readonly context: number;
  /** The memory that the decoder may have. That it has more shows only after it has grown. */
  readonly maximum: number;
  readonly path: string;
};

/** Yields all output for a piece of input. An empty piece is the end, at which the file must be complete. */
function* decode({ decoder, context, maximum, path }: Decoding, piece: Uint8Array): Generator<Uint8Array> {
  view(decoder, context).memory.set(piece, view(decoder, context).inputAt);
  decoder.supply_input(context, piece.length);
  for (;;) {
    const result = decoder.get_next_output(context);
    if (decoder.memory.buffer.byteLength > maximum) {
      throw unsupported(path, 'xz with a larger dictionary in a later part than in the first');
    }
    const { memory, state, outputAt } = view(decoder, context);
    const written = state[5] ?? 0;
    state[5] = 0;
    if (written > 0) yield memory.slice(outputAt, outputAt + written);
    if (result === status.end) return;
    if (result !== status.ok) throw unreadable(path, describe(result));
    const isUsed = state[2] === state[3];
    if (isUsed && piece.length > 0) return;
  }
}

function describe(result: number): string {
  switch (result) {
    case status.memoryLimit:
      return 'its xz stream asks for a dictionary of more than 64 MiB';
    case status.options:
      return 'its xz stream is damaged, or uses a filter or a check value that is not supported';
    case status.cutShort:
      return 'its xz stream is cut short';
    default:
      return 'its xz stream is damaged, or there is something behind it';
  }
}

/** The memory may move in each call, so views are made anew each time. Positions are relative to the context. */
function view(decoder: Decoder, context: number) {
  const memory = new Uint8Array(decoder.memory.buffer, context);
  // input buffer size, input buffer, position and length there, output buffer, position there
  const state = new Uint32Array(decoder.memory.buffer, context, 6);
  const [inputBytes = 0, input = 0, , , output = 0] = state;
  return { memory, state, inputBytes, inputAt: input - context, outputAt: output - context };
}

/**
 * Uses a private instance from the package, a new one for each file, and for this the version is pinned. The package's
 * own stream can decode only one file at a time in a thread, so a slow download would block all others.
 */
async function instantiate(): Promise<Decoder> {
  // The package has no types for these members, and is a CommonJS module, whose exports are the default export.
  const imported = (await import('xz-decompress')) as unknown as {
    readonly default: {
      readonly XzReadableStream: {
        _getModuleInstance(): Promise<void>;
        readonly _moduleInstance: { readonly exports: Decoder };
      };
    };
  };
  const { XzReadableStream } = imported.default;
  await XzReadableStream._getModuleInstance();
  return XzReadableStream._moduleInstance.exports;
}

/** How to decompress an .xz file, according to its first bytes. */
export type XzHeader = {
  /** The usual name of a feature that the decoder does not support; undefined when it supports all. */
  readonly unsupported: string | undefined;
  /** Dictionary of the first block; 0 for a file without blocks. */
  readonly dictionaryBytes: number;
};

/** The header of the first block ends within this many bytes. */
export const xzHeaderBytes = 12 + 1024;

/** The limit of the decoder itself. */
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
 * Reads the headers of the stream and of its first block, as far as they are complete. Damage in them is left to the
 * decoder.
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

/** The size of a dictionary is 2^n or 2^n + 2^(n-1). */
function sizeOf(bits: number, filterCount: number): number {
  return filterCount === 0 ? 0 : (2 | (bits & 1)) * 2 ** ((bits & 0x3f) / 2 + 11 - (bits & 1) / 2);
}
