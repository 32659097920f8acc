import { ImageError } from '../../src/errors.ts';
import { lazy } from '../../src/system/single-flight.ts';
import type { SignaturePacket } from './openpgp.ts';
import { type SignatureFile, splitSignatureFile, unreadable } from './packets.ts';

/** A detached signature of type 0x00 with a known version and known algorithms. */
export type DetachedSignature = {
  readonly packet: SignaturePacket;
  /** The part of the packet that is hashed after the file, before the trailer. */
  readonly signed: Uint8Array;
  /** Empty before version 6. */
  readonly salt: Uint8Array;
  readonly hash: SignatureHash;
};

type SignatureHash = {
  /** For messages. */
  readonly name: string;
  /** The name in node:crypto; undefined for an algorithm that no rule accepts. */
  readonly algorithm: string | undefined;
  /** The length of a digest. */
  readonly bytes: number;
  /** The length of a version 6 salt. */
  readonly salt: number;
};

/** By the numbers of RFC 9580 §9.5. @see docs/rules.md S9 */
const hashes: ReadonlyMap<number, SignatureHash> = new Map([
  [1, { name: 'MD5', algorithm: undefined, bytes: 16, salt: 0 }],
  [2, { name: 'SHA-1', algorithm: 'sha1', bytes: 20, salt: 0 }],
  [3, { name: 'RIPEMD-160', algorithm: undefined, bytes: 20, salt: 0 }],
  [8, { name: 'SHA-256', algorithm: 'sha256', bytes: 32, salt: 16 }],
  [9, { name: 'SHA-384', algorithm: 'sha384', bytes: 48, salt: 24 }],
  [10, { name: 'SHA-512', algorithm: 'sha512', bytes: 64, salt: 32 }],
  [11, { name: 'SHA-224', algorithm: 'sha224', bytes: 28, salt: 16 }],
  [12, { name: 'SHA3-256', algorithm: 'sha3-256', bytes: 32, salt: 16 }],
  [14, { name: 'SHA3-512', algorithm: 'sha3-512', bytes: 64, salt: 32 }],
]);

const openpgpModule = lazy(() => import('./openpgp.ts'));

const versions = [4, 6];
const binaryDocument = 0x00;
const textDocument = 0x01;

/**
 * Reads the usable signatures of a file, at least one, in order. Signatures with an unknown version or algorithm are
 * left out; one that is damaged or of another type makes the whole file unreadable.
 *
 * @throws SIGNATURE_UNREADABLE, LIMIT_EXCEEDED, and SIGNATURE_INVALID for one without a signed date.
 * @see docs/rules.md S3, S6, S8, S9
 */
export async function readSignatureFile(bytes: Uint8Array, file: SignatureFile): Promise<readonly DetachedSignature[]> {
  const packets = splitSignatureFile(bytes, file);
  const { readSignaturePacket } = await openpgpModule();
  const signatures: DetachedSignature[] = [];
  for (const { bytes: packetBytes, body } of packets) {
    if (!versions.includes(body[0] ?? 0)) continue;
    checkType(body[1], file.location);
    if (!isWellFormed(body)) throw unreadable(file.location, 'a signature is damaged');
    const packet = await readSignaturePacket(packetBytes).catch((error: unknown) => {
      throw malformed(file.location, error);
    });
    const signature = packet && detached(packet, file.location);
    if (signature) signatures.push(signature);
  }
  if (signatures.length > 0) return signatures;
  throw unreadable(file.location, 'its signatures are of versions or algorithms that are not known');
}

function detached(packet: SignaturePacket, location: string): DetachedSignature | undefined {
  const hash = hashes.get(packet.hashAlgorithm ?? 0);
  if (!hash || !packet.signatureData) return undefined;
  const salt = saltOf(packet);
  if (packet.version === 6 && salt.length !== hash.salt) throw unreadable(location, 'a salt has the wrong length');
  return { packet, signed: packet.signatureData, salt, hash };
}

/** The types of the library lack the salt. */
function saltOf(packet: SignaturePacket & { readonly salt?: Uint8Array | null }): Uint8Array {
  return packet.salt ?? new Uint8Array();
}

function checkType(type: number | undefined, location: string): void {
  if (type === binaryDocument) return;
  if (type === textDocument) throw unreadable(location, 'a signature is over text, not over a file');
  throw unreadable(location, `a signature is of type 0x${(type ?? 0).toString(16).padStart(2, '0')}, not over a file`);
}

function malformed(location: string, error: unknown): ImageError {
  if (error instanceof Error && error.message.includes('Missing signature creation time')) {
    return new ImageError('SIGNATURE_INVALID', 'a signature does not say when it was made', {}, { cause: error });
  }
  return unreadable(location, 'a signature is damaged', error);
}

/**
 * Whether a signature packet of version 4 or 6 can be read in only one way: the subpackets fill both areas exactly, and
 * numbers have the stated length. The library is lenient with both, other programs are not.
 *
 * @param body - starts at the version.
 * @see RFC 9580 §3.2, §5.2.3
 */
function isWellFormed(body: Uint8Array): boolean {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  try {
    const version = view.getUint8(0);
    let at = 4;
    for (let area = 0; area < 2; area++) {
      const end = version === 6 ? at + 4 + view.getUint32(at) : at + 2 + view.getUint16(at);
      at += version === 6 ? 4 : 2;
      while (at < end) at = skipSubpacket(view, at);
      if (at !== end) return false;
    }
    at += 2; // the first two bytes of the digest
    if (version === 6) at += 1 + view.getUint8(at);
    if (!numberAlgorithms.has(view.getUint8(2))) return at <= body.length;
    while (at < body.length) {
      const bits = view.getUint16(at);
      const bytes = Math.ceil(bits / 8);
      if (bits !== 0 && Math.clz32(view.getUint8(at + 2)) - 24 !== bytes * 8 - bits) return false;
      at += 2 + bytes;
    }
    return at === body.length;
  } catch (error) {
    if (error instanceof RangeError) return false; // it is incomplete
    throw error;
  }
}

/**
 * RSA, DSA, ECDSA and the old EdDSA: their values are numbers with a bit count. Those of newer algorithms have a fixed
 * length.
 */
const numberAlgorithms: ReadonlySet<number> = new Set([1, 3, 17, 19, 22]);

function skipSubpacket(view: DataView, at: number): number {
  const first = view.getUint8(at);
  if (first < 192) return at + 1 + first;
  if (first < 255) return at + 2 + ((first - 192) << 8) + view.getUint8(at + 1) + 192;
  return at + 5 + view.getUint32(at + 1);
}
