import { createRequire } from 'node:module';

import type { Memory } from '../memory.ts';
import { createLookahead } from './lookahead.ts';
import { unreadable, unsupported } from './unreadable.ts';
import { readXzHeader, xzHeaderBytes } from './xz-header.ts';

/** xz-embedded, compiled: reads and writes through buffers of fixed size in its own memory. */
type Decoder = {
  readonly memory: { readonly buffer: ArrayBuffer };
  create_context(): number;
  /** 0 bytes mean that no more come. */
  supply_input(context: number, bytes: number): void;
  get_next_output(context: number): number;
};

/** What is held of memory: by most files, such as xz -6 writes them, and by those with a larger dictionary. */
const small = { dictionary: 8 * 1024 * 1024, held: 10 * 1024 * 1024 };
const largeBytes = 66 * 1024 * 1024;

const status = { ok: 0, end: 1, memoryLimit: 4, options: 6, cutShort: 8 } as const;

/**
 * Decompresses an xz file, of several streams with padding between them if need be. Holds the dictionary that the file
 * asks for first, at most 64 MiB; a later part may ask for no more than that took.
 *
 * @param path - shown in errors. @param memory - for the dictionary.
 * @throws ARCHIVE_UNREADABLE for what is damaged, cut short, followed by anything, or uses filters or check values that
 * the decoder has not (x86 and other branch filters, delta, SHA-256); what `chunks` throws.
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
  /** Bytes that its memory may have: that it has grown is seen only then. */
  readonly maximum: number;
  readonly path: string;
};

/** Everything that a piece of input gives; an empty piece is the end, which has to come out as the end. */
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

/** Memory may have moved since the last call, so nothing of this is kept. Positions are relative to the context. */
function view(decoder: Decoder, context: number) {
  const memory = new Uint8Array(decoder.memory.buffer, context);
  const state = new Uint32Array(decoder.memory.buffer, context, 6); // size, in, its position, its size, out, its position
  const [inputBytes = 0, input = 0, , , output = 0] = state;
  return { memory, state, inputBytes, inputAt: input - context, outputAt: output - context };
}

/**
 * The package's own stream lets only one file at a time be decoded in a thread, so a slow download would hold up all
 * others; hence the instance that it keeps to itself, a new one for each file. The version is pinned for that.
 */
async function instantiate(): Promise<Decoder> {
  // The package has no types for what is used here.
  const { XzReadableStream } = createRequire(import.meta.url)('xz-decompress') as {
    readonly XzReadableStream: {
      _getModuleInstance(): Promise<void>;
      readonly _moduleInstance: { readonly exports: Decoder };
    };
  };
  await XzReadableStream._getModuleInstance();
  return XzReadableStream._moduleInstance.exports;
}
