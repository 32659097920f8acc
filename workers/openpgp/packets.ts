import { ImageError } from '../../src/errors.ts';

export type SignatureFile = {
  /** Shown in errors. */
  readonly location: string;
  /** The most signatures in a file. */
  readonly maximum: number;
};

/** One signature packet. `bytes` includes its header; `body` starts at the version. */
type SignatureBytes = { readonly bytes: Uint8Array; readonly body: Uint8Array };

const signatureTag = 2;
const tagNames: ReadonlyMap<number, string> = new Map([
  [1, 'encrypted data'],
  [3, 'encrypted data'],
  [4, 'a signed message'],
  [5, 'a secret key'],
  [6, 'a public key'],
  [7, 'a secret key'],
  [8, 'a compressed message'],
  [9, 'encrypted data'],
  [11, 'a message'],
  [14, 'a public key'],
  [18, 'encrypted data'],
]);

/**
 * Splits a signature file, armored or binary, into its signature packets without parsing them: their number is limited
 * before anything else is done.
 *
 * @throws SIGNATURE_UNREADABLE for anything but signature packets, LIMIT_EXCEEDED for too many.
 * @see RFC 9580 §4.2; docs/rules.md S3, S8
 */
export function splitSignatureFile(file: Uint8Array, { location, maximum }: SignatureFile): readonly SignatureBytes[] {
  const isBinary = file.length > 0 && ((file[0] ?? 0) & 0x80) !== 0;
  const bytes = isBinary ? file : dearmorSignature(Buffer.from(file).toString('latin1'));
  if (!bytes) throw unreadable(location, describeFile(file));

  const packets: SignatureBytes[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = tagOf(bytes[at] ?? 0);
    if (tag !== signatureTag) {
      const what = tagNames.get(tag ?? 0) ?? (tag === undefined ? 'other data' : `a packet of type ${tag}`);
      throw unreadable(location, `it holds ${what}, not detached signatures alone`);
    }
    const header = readHeader(bytes, at);
    if (!header) throw unreadable(location, 'it is damaged or cut short');
    if (packets.length === maximum) {
      const details = { limit: 'signatures', maximum };
      throw new ImageError('LIMIT_EXCEEDED', `more than ${maximum} signatures in ${location}`, details);
    }
    packets.push({ bytes: bytes.subarray(at, header.end), body: bytes.subarray(header.start, header.end) });
    at = header.end;
  }
  if (packets.length === 0) throw unreadable(location, 'it holds no signature');
  return packets;
}

/** The start and end of a packet's body. */
type PacketSpan = { readonly start: number; readonly end: number };

/** The type of a packet; undefined for a byte that starts no packet. @see RFC 9580 §4.2 */
export function tagOf(first: number): number | undefined {
  if ((first & 0x80) === 0) return undefined;
  return isNewFormat(first) ? first & 0x3f : (first >> 2) & 0x0f;
}

/** Undefined for a packet of partial or indeterminate length, or one that is longer than the file. */
export function readHeader(bytes: Uint8Array, at: number): PacketSpan | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, bytes.length - at);
  const first = view.getUint8(0);
  const length = isNewFormat(first) ? newLength(view, 1) : oldLength(view, first & 0x03);
  if (!length || length.header + length.body > view.byteLength) return undefined;
  const start = at + length.header;
  return { start, end: start + length.body };
}

type DataPacket = { readonly body: Uint8Array; readonly end: number };

/**
 * Reads a data packet, which alone may be of partial or indeterminate length.
 *
 * @returns undefined when it is incomplete. @see RFC 9580 §4.2.1.4, §4.2.2.4
 */
export function readDataPacket(bytes: Uint8Array, at: number): DataPacket | undefined {
  const whole = readHeader(bytes, at);
  if (whole) return { body: bytes.subarray(whole.start, whole.end), end: whole.end };
  const first = bytes[at] ?? 0;
  if (isNewFormat(first)) return readParts(bytes, at + 1);
  return (first & 0x03) === 3 ? { body: bytes.subarray(at + 1), end: bytes.length } : undefined;
}

function readParts(bytes: Uint8Array, at: number): DataPacket | undefined {
  const parts: Uint8Array[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (;;) {
    const octet = bytes[at] ?? 255;
    const isPartial = octet >= 224 && octet < 255;
    const length = isPartial ? { header: at + 1, body: 2 ** (octet & 0x1f) } : newLength(view, at);
    if (!length || length.header + length.body > bytes.length) return undefined;
    const end = length.header + length.body;
    parts.push(bytes.subarray(length.header, end));
    if (!isPartial) return { body: Buffer.concat(parts), end };
    at = end;
  }
}

function isNewFormat(first: number): boolean {
  return (first & 0x40) !== 0;
}

/** `header` is the position of the body. */
type Length = { readonly header: number; readonly body: number };

function newLength(view: DataView, at: number): Length | undefined {
  const left = view.byteLength - at;
  if (left < 1) return undefined;
  const first = view.getUint8(at);
  if (first < 192) return { header: at + 1, body: first };
  if (first < 224)
    return left < 2 ? undefined : { header: at + 2, body: ((first - 192) << 8) + view.getUint8(at + 1) + 192 };
  return first < 255 || left < 5 ? undefined : { header: at + 5, body: view.getUint32(at + 1) };
}

function oldLength(view: DataView, kind: number): Length | undefined {
  if (kind === 0) return view.byteLength < 2 ? undefined : { header: 2, body: view.getUint8(1) };
  if (kind === 1) return view.byteLength < 3 ? undefined : { header: 3, body: view.getUint16(1) };
  return kind === 3 || view.byteLength < 5 ? undefined : { header: 5, body: view.getUint32(1) };
}

const header = /^[A-Za-z]+: /;
const checksum = /^=[A-Za-z0-9+/]{4}$/;
const base64 = /^[A-Za-z0-9+/]*={0,2}$/;

/**
 * Decodes armored signatures: one or more blocks, with only white space around them. The checksum is optional and
 * ignored, as in RFC 9580: the signature itself is verified.
 *
 * @returns undefined for any other text.
 * @see RFC 9580 §6; docs/rules.md S3
 */
export function dearmorSignature(text: string): Uint8Array | undefined {
  const blocks = blocksOf(text, 'SIGNATURE');
  return blocks && Buffer.concat(blocks);
}

/** As dearmorSignature, for one block with a signed message. */
export function dearmorMessage(text: string): Uint8Array | undefined {
  const [block, ...others] = blocksOf(text, 'MESSAGE') ?? [];
  return others.length === 0 ? block : undefined;
}

/** As dearmorSignature, for certificates, whose blocks may have other text around them. */
export function dearmorKeys(text: string): Uint8Array | undefined {
  const [begin, end] = ['-----BEGIN PGP PUBLIC KEY BLOCK-----', '-----END PGP PUBLIC KEY BLOCK-----'];
  const found: string[] = [];
  for (let at = text.indexOf(begin); at >= 0; at = text.indexOf(begin, at)) {
    const last = text.indexOf(end, at);
    if (last < 0) return undefined;
    found.push(text.slice(at, last + end.length));
    at = last + end.length;
  }
  const blocks = blocksOf(found.join('\n'), 'PUBLIC KEY BLOCK');
  return blocks && Buffer.concat(blocks);
}

function blocksOf(text: string, what: 'SIGNATURE' | 'MESSAGE' | 'PUBLIC KEY BLOCK'): readonly Uint8Array[] | undefined {
  const [begin, end] = [`-----BEGIN PGP ${what}-----`, `-----END PGP ${what}-----`];
  const blocks: Uint8Array[] = [];
  const lines = text.split('\n').map((line) => line.trimEnd());
  let at = 0;
  for (;;) {
    while (lines[at] === '') at++;
    if (at === lines.length) break;
    if (lines[at++] !== begin) return undefined;
    while (header.test(lines[at] ?? '')) at++;
    if (lines[at++] !== '') return undefined;
    const last = lines.indexOf(end, at);
    if (last < 0) return undefined;
    const body = lines.slice(at, last);
    if (checksum.test(body.at(-1) ?? '')) body.pop();
    const encoded = body.join('');
    if (!base64.test(encoded) || encoded.length % 4 !== 0) return undefined;
    blocks.push(Buffer.from(encoded, 'base64'));
    at = last + 1;
  }
  return blocks.length > 0 ? blocks : undefined;
}

export function unreadable(location: string, why: string, cause?: unknown): ImageError {
  const message = `${location} holds no usable signature: ${why}`;
  return new ImageError('SIGNATURE_UNREADABLE', message, { location }, cause === undefined ? undefined : { cause });
}

const looks: readonly (readonly [RegExp, string])[] = [
  [/^\s*$/, 'it is empty'],
  [/^\s*<(!doctype|html|\?xml|head|body)/i, 'it is a web page'],
  [/^\s*[{[]/, 'it is JSON'],
  [/-----BEGIN PGP SIGNED MESSAGE-----/, 'it is a cleartext signed message, not a detached signature'],
  [/-----BEGIN PGP MESSAGE-----/, 'it is a message, not a detached signature'],
  [/-----BEGIN PGP PRIVATE KEY BLOCK-----/, 'it is a secret key'],
  [/-----BEGIN PGP PUBLIC KEY BLOCK-----/, 'it is a public key'],
  [/-----BEGIN PGP SIGNATURE-----/, 'its armor is damaged, cut short or not all there is'],
];

/** Describes a file that is neither armored nor binary OpenPGP. */
export function describeFile(file: Uint8Array): string {
  const start = Buffer.from(file.subarray(0, 4096)).toString('latin1');
  return looks.find(([pattern]) => pattern.test(start))?.[1] ?? 'it is not OpenPGP';
}

/** Describes a file that should contain a certificate, but could not be read as one. */
export function describeKeyFile(file: Uint8Array): string {
  const start = Buffer.from(file.subarray(0, 3)).toString('latin1');
  if (/^(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)/.test(start))
    return 'it begins with a byte order mark, and key files are plain ASCII';
  if (((file[0] ?? 0) & 0x80) !== 0) return 'it is damaged, or of a kind that is not supported';
  const what = describeFile(file);
  if (what.startsWith('its armor')) return 'it is a signature';
  return what === 'it is a public key' ? 'its armor is damaged, or it is of a kind that is not supported' : what;
}
