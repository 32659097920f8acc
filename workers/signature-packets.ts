import { ImageError } from '../src/errors.ts';
import { readHeader, tagOf } from './packet-header.ts';
import { dearmorSignature } from './signature-armor.ts';
import { describeFile, unreadable } from './signature-unreadable.ts';

export type SignatureFile = {
  /** Shown in errors. */
  readonly location: string;
  /** Signatures that a file may hold. */
  readonly maximum: number;
};

/** One signature packet. `bytes` has its header, `body` starts at the version. */
export type SignatureBytes = { readonly bytes: Uint8Array; readonly body: Uint8Array };

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
 * Splits a signature file, armored or binary, into its signature packets, without looking into them: that makes their
 * number a bound on all work that follows.
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
