import { ImageError } from '../../src/errors.ts';
import { lazy } from '../../src/system/single-flight.ts';
import type { Memory } from '../memory.ts';
import { boundSilence, threadMs } from './bound-silence.ts';
import { createLookahead, unreadable } from './lookahead.ts';

type OpenedArchive = {
  readonly compression: Compression | 'none';
  /** The bytes of the tar. */
  readonly tar: AsyncIterable<Uint8Array>;
};

/**
 * Detects the compression of an archive and decompresses it, one layer of compression. Each chunk, of `chunks` and of
 * the tar, needs to be valid only until the next is requested.
 *
 * @param path - shown in errors. @param memory - reserves the memory of the decompressor.
 * @throws ARCHIVE_UNREADABLE, here when it is no archive, from `tar` when it is damaged; LIMIT_EXCEEDED; what `chunks`
 * throws.
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

/** Refuses the tar of another kind of image. */
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

// Loaded when needed: most images are gzip, and a worker should start fast.
const gunzipModule = lazy(() => import('./gunzip.ts'));
const bunzipModule = lazy(() => import('./bunzip.ts'));
const unxzModule = lazy(() => import('./unxz.ts'));

/** The decompressed bytes. @throws as openArchive, from the chunks */
export async function decompress(
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

/** The number of bytes at the start that suffice to recognise a file. */
export const sniffBytes = 512;

type Compression = 'gzip' | 'bzip2' | 'xz';

/** `name` is the usual name of the format. */
type Sniffed =
  | { readonly kind: 'tar' }
  | { readonly kind: 'compressed'; readonly compression: Compression }
  | { readonly kind: 'other'; readonly name: string };

const magics: readonly [magic: string, name: string][] = [
  ['\x28\xb5\x2f\xfd', 'zstd'],
  ['\x5d\x00\x00', 'lzma'],
  ['\x04\x22\x4d\x18', 'lz4'],
  ['\x1f\x9d', 'compress (.Z)'],
  ['LZIP', 'lzip'],
  ['7z\xbc\xaf\x27\x1c', '7-Zip'],
  ['PK\x03\x04', 'zip'],
  ['PK\x05\x06', 'zip'],
  ['Rar!', 'RAR'],
  ['\x7fELF', 'an ELF program'],
  ['-----BEGIN PGP MESSAGE', 'OpenPGP encrypted'],
  ['-----BEGIN PGP SIGNATURE', 'an OpenPGP signature'],
  ['-----BEGIN PGP PUBLIC KEY', 'an OpenPGP key'],
];

/** First packets of an encrypted message: session keys (1, 3) and data (9, 18), in the old and the new form. */
const encryptedTags: ReadonlySet<number> = new Set([
  0x84, 0x85, 0x86, 0x8c, 0x8d, 0x8e, 0xa4, 0xa5, 0xa6, 0xc1, 0xc3, 0xc9, 0xd2,
]);

/**
 * Recognises a file by its first bytes.
 *
 * @param start - the first 512 bytes, or all of a shorter file.
 * @see docs/rules.md A1; appc 0.8.11, aci/file.go
 */
export function sniff(start: Buffer): Sniffed {
  const text = start.toString('latin1');
  if (text.startsWith('\x1f\x8b')) return { kind: 'compressed', compression: 'gzip' };
  if (/^BZh[1-9]/.test(text)) return { kind: 'compressed', compression: 'bzip2' };
  if (text.startsWith('\xfd7zXZ\0')) return { kind: 'compressed', compression: 'xz' };
  if (text.slice(257, 262) === 'ustar') return { kind: 'tar' };
  return { kind: 'other', name: nameOther(start, text) };
}

/** What a tar without the magic of ustar is called. */
export const oldTar = 'an old tar (v7)';

function nameOther(start: Buffer, text: string): string {
  if (start.length === 0) return 'empty';
  const magic = magics.find(([bytes]) => text.startsWith(bytes));
  if (magic) return magic[1];
  if (isHeader(start)) return start[156] === 0x56 ? 'a tar with a volume label' : oldTar;
  if (isText(start)) return nameText(text);
  return encryptedTags.has(start.readUInt8(0)) ? 'OpenPGP encrypted' : 'unknown';
}

/** Whether it is a tar header with a correct checksum, but without the magic of ustar. */
function isHeader(start: Buffer): boolean {
  const field = /^ *([0-7]+)[ \0]*$/.exec(start.toString('latin1', 148, 156))?.[1];
  if (start.length < sniffBytes || field === undefined) return false;
  const sum = start.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  return sum === Number.parseInt(field, 8);
}

/**
 * Recognises other kinds of archives by the name of the first entry, which no image archive may have.
 *
 * @param start - the first 512 bytes of a tar. @see docs/rules.md A10
 */
function nameOtherArchive(start: Buffer): string | undefined {
  const [path = ''] = start.toString('latin1', 0, 100).replace(/^\.\//, '').split('\0');
  if (/^(?:blobs\/|oci-layout$|index\.json$)/.test(path)) return 'an archive of an OCI layout';
  if (/^(?:[0-9a-f]{64}(?:\.tar|\.json|\/)|manifest\.json$|repositories$)/.test(path))
    return 'an archive of docker save';
  return undefined;
}

function nameText(text: string): string {
  const trimmed = text.replace(/^\xef\xbb\xbf/, '').trimStart();
  if (/^<(?:!doctype\s+html|html|head|body|!--)/i.test(trimmed)) return 'HTML';
  if (/^<\?xml/i.test(trimmed)) return 'XML';
  return /^[{[]/.test(trimmed) ? 'JSON' : 'text';
}

/**
 * Whether it is UTF-8 without control characters other than white space and escape. The last character may be
 * incomplete.
 */
function isText(start: Buffer): boolean {
  if (start.some((byte) => byte < 0x20 && ![0x09, 0x0a, 0x0c, 0x0d, 0x1b].includes(byte))) return false;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(start, { stream: true });
    return true;
  } catch {
    return false;
  }
}
