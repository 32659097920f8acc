import { ImageError } from '../../src/errors.ts';
import { lazy } from '../lazy.ts';
import type { Memory } from '../memory.ts';
import { boundSilence, threadMs } from './bound-silence.ts';
import { createLookahead } from './lookahead.ts';
import { nameOtherArchive, sniff, sniffBytes, type Compression } from './sniff.ts';
import { unreadable } from './unreadable.ts';

export type OpenedArchive = {
  readonly compression: Compression | 'none';
  /** The bytes of the tar. */
  readonly tar: AsyncIterable<Uint8Array>;
};

/**
 * Finds out how an archive is compressed and undoes that, one layer of it. Each chunk, of `chunks` and of the tar,
 * needs to be valid only until the next one is asked for.
 *
 * @param path - shown in errors. @param memory - for what the decompressor is going to hold.
 * @throws ARCHIVE_UNREADABLE, here for what is no archive, from `tar` for what is damaged; LIMIT_EXCEEDED; what
 * `chunks` throws.
 * @see docs/rules.md A1, A2
 */
export async function openArchive(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
  memory: Memory,
): Promise<OpenedArchive> {
  const input = createLookahead(chunks);
  await input.want(sniffBytes);
  const sniffed = sniff(input.held().subarray(0, sniffBytes));
  switch (sniffed.kind) {
    case 'tar':
      checkKind(input.held(), path);
      return { compression: 'none', tar: input.rest() };
    case 'compressed':
      return { compression: sniffed.compression, tar: unpack(input.rest(), sniffed.compression, path, memory) };
    case 'other':
      throw notAnArchive(path, sniffed.name, sniffed.name);
  }
}

/** A tar of another kind of image. */
function checkKind(start: Buffer, path: string): void {
  const other = nameOtherArchive(start);
  if (other !== undefined) throw notAnArchive(path, other, other);
}

async function* unpack(
  chunks: AsyncIterable<Uint8Array>,
  compression: Compression,
  path: string,
  memory: Memory,
): AsyncGenerator<Uint8Array> {
  const output = createLookahead(await decompress(chunks, compression, path, memory));
  await output.want(sniffBytes);
  const sniffed = sniff(output.held().subarray(0, sniffBytes));
  if (sniffed.kind === 'compressed') {
    throw unreadable(path, `it is compressed twice, ${sniffed.compression} inside ${compression}; one layer is read`);
  }
  if (sniffed.kind === 'other') throw notAnArchive(path, sniffed.name, `${compression} around ${sniffed.name}`);
  checkKind(output.held(), path);
  yield* output.rest();
}

// Loaded when needed: most images are gzip, and a worker should start quickly.
const gunzipModule = lazy(() => import('./gunzip.ts'));
const bunzipModule = lazy(() => import('./bunzip.ts'));
const unxzModule = lazy(() => import('./unxz.ts'));

async function decompress(
  chunks: AsyncIterable<Uint8Array>,
  compression: Compression,
  path: string,
  memory: Memory,
): Promise<AsyncIterable<Uint8Array>> {
  switch (compression) {
    case 'gzip': {
      const { gunzip } = await gunzipModule();
      return boundSilence(chunks, (input) => gunzip(input, path));
    }
    case 'bzip2': {
      const { bunzip } = await bunzipModule();
      return boundSilence(chunks, (input) => bunzip(input, path, memory), threadMs);
    }
    case 'xz': {
      const { unxz } = await unxzModule();
      return boundSilence(chunks, (input) => unxz(input, path, memory), threadMs);
    }
  }
}

function notAnArchive(path: string, looksLike: string, what: string): ImageError<'ARCHIVE_UNREADABLE'> {
  const message = `not an image archive but ${what}; an image is a tar (ustar, pax or GNU), plain or as gzip, bzip2 or xz`;
  return new ImageError('ARCHIVE_UNREADABLE', message, { path, looksLike });
}
