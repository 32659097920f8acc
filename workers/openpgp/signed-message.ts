import { inflateRawSync, inflateSync, type ZlibOptions } from 'node:zlib';

import { ImageError } from '../../src/errors.ts';
import { dearmorMessage, describeFile, readDataPacket, readHeader, tagOf, unreadable } from './packets.ts';

/** An OpenPGP message that contains its own signatures. */
export type SignedMessage = {
  /** Only signature packets, as in a detached signature file. */
  readonly signatures: Uint8Array;
  /** The signed data. */
  readonly data: Uint8Array;
};

export type MessageFile = {
  /** Shown in errors. */
  readonly location: string;
  /** The most bytes when decompressed. */
  readonly maximumBytes: number;
};

const tag = { signature: 2, onePass: 4, compressed: 8, literal: 11 } as const;
const binary = 'b'.charCodeAt(0);

/**
 * Splits a signed message, armored or binary, without parsing the signed data. It must consist of one-pass headers, the
 * data, and as many signatures as there are headers, and nothing else. It may be compressed.
 *
 * @throws SIGNATURE_UNREADABLE, LIMIT_EXCEEDED when it is too large when decompressed.
 * @see RFC 9580 §10.3
 */
export function readSignedMessage(file: Uint8Array, about: MessageFile): SignedMessage {
  const isBinary = ((file[0] ?? 0) & 0x80) !== 0;
  const message = isBinary ? file : dearmorMessage(Buffer.from(file).toString('latin1'));
  if (!message?.length) throw unreadable(about.location, describeText(file));
  return splitMessage(unpack(message, about), about.location);
}

function describeText(file: Uint8Array): string {
  const [, what] = /^\s*-----BEGIN PGP ([A-Z ]*)/.exec(Buffer.from(file.subarray(0, 1024)).toString('latin1')) ?? [];
  if (what === undefined) return describeFile(file);
  return what === 'MESSAGE' ? 'its armor is damaged, cut short or not all there is' : notAMessage;
}

function unpack(file: Uint8Array, { location, maximumBytes }: MessageFile): Uint8Array {
  if (tagOf(file[0] ?? 0) !== tag.compressed) return file;
  const packet = readDataPacket(file, 0);
  if (packet?.end !== file.length) throw unreadable(location, 'it is damaged or cut short');
  const [algorithm, packed] = [packet.body[0], packet.body.subarray(1)];
  if (algorithm === 0) return packed;
  const inflate = algorithm === 1 ? inflateRawSync : algorithm === 2 ? inflateSync : undefined;
  if (!inflate) throw unreadable(location, 'it is packed by a method that is not known');
  return inflated(inflate, packed, { location, maximumBytes });
}

type Inflate = (bytes: Uint8Array, options: ZlibOptions) => Uint8Array;

function inflated(inflate: Inflate, packed: Uint8Array, { location, maximumBytes }: MessageFile): Uint8Array {
  try {
    return inflate(packed, { maxOutputLength: maximumBytes });
  } catch (error) {
    if (!(error instanceof RangeError)) throw unreadable(location, 'it is damaged or cut short', error);
    const details = { limit: 'signature', maximum: maximumBytes };
    throw new ImageError('LIMIT_EXCEEDED', `${location} unpacks to more than ${maximumBytes} bytes`, details);
  }
}

function splitMessage(bytes: Uint8Array, location: string): SignedMessage {
  let announced = 0;
  let at = 0;
  for (; tagAt(bytes, at) === tag.onePass; announced += 1) at = endOf(bytes, at, location);
  const first = tagAt(bytes, at);
  if (announced === 0) throw unreadable(location, first === tag.literal ? 'nobody has signed it' : notAMessage);
  const literal = first === tag.literal ? readDataPacket(bytes, at) : undefined;
  const data = literal && literalData(literal.body);
  if (!literal || !data) throw unreadable(location, notAMessage);
  const start = literal.end;
  at = start;
  for (; tagAt(bytes, at) === tag.signature; announced -= 1) at = endOf(bytes, at, location);
  if (at !== bytes.length || announced !== 0) throw unreadable(location, notAMessage);
  return { signatures: bytes.subarray(start), data };
}

const notAMessage = 'it is not a signed message';

function tagAt(bytes: Uint8Array, at: number): number | undefined {
  return tagOf(bytes[at] ?? 0);
}

function endOf(bytes: Uint8Array, at: number, location: string): number {
  const header = readHeader(bytes, at);
  if (!header) throw unreadable(location, 'it is damaged or cut short');
  return header.end;
}

/** After the format there are a name, preceded by its length, and a date. None of them is signed. @see RFC 9580 §5.9 */
function literalData(body: Uint8Array): Uint8Array | undefined {
  const start = 2 + (body[1] ?? 0) + 4;
  return body[0] === binary && start <= body.length ? body.subarray(start) : undefined;
}
