import { createHash, createPrivateKey, type KeyObject, sign } from 'node:crypto';

import { readPrivateKey, type SecretKeyPacket } from 'openpgp';

import type { Gpg } from './keys.ts';

/** An ed25519 key outside gpg, to sign what gpg would not. */
export type Forger = { readonly fingerprint: string; readonly key: KeyObject; readonly createdAt: number };

export type Forgery = {
  readonly version?: number;
  readonly type?: number;
  /** Number of RFC 9580 §9.5 that is claimed; the digest is SHA-512 all the same. */
  readonly hash?: number;
  /** Seconds since the epoch; null for none. */
  readonly date?: number | null;
  /** Further hashed subpackets: type with the critical bit, and body. */
  readonly hashed?: readonly (readonly [number, Uint8Array])[];
  readonly unhashed?: readonly (readonly [number, Uint8Array])[];
};

/** @param fingerprint - of an ed25519 primary key in gpg. */
export async function openForger(gpg: Gpg, fingerprint: string): Promise<Forger> {
  const secret = await readPrivateKey({ armoredKey: (await gpg.secretKey(fingerprint)).toString() });
  // the library types neither that it is the secret packet nor what is in it
  const { seed } = (secret.keyPacket as SecretKeyPacket).privateParams as { seed: Uint8Array };
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  return { fingerprint, key, createdAt: secret.getCreationTime().getTime() / 1000 };
}

/** A binary detached signature that is right in all that it does not claim otherwise. */
export function forgeSignature(forger: Forger, bytes: Uint8Array, forgery: Forgery = {}): Buffer {
  const { version = 4, type = 0, hash = 10, date = forger.createdAt, hashed = [], unhashed = [] } = forgery;
  const fingerprint = Buffer.from(forger.fingerprint, 'hex');
  const area = Buffer.concat([
    subpacket(33, Buffer.concat([Buffer.of(4), fingerprint])),
    ...(date === null ? [] : [subpacket(2, uint32(date))]),
    ...hashed.map(([kind, body]) => subpacket(kind, body)),
  ]);
  const signed = Buffer.concat([Buffer.of(version, type, 22, hash), uint16(area.length), area]);
  const outer = Buffer.concat([
    subpacket(16, fingerprint.subarray(-8)),
    ...unhashed.map(([kind, body]) => subpacket(kind, body)),
  ]);
  const trailer = Buffer.concat([Buffer.of(version, 0xff), uint32(signed.length)]);
  const digest = createHash('sha512').update(bytes).update(signed).update(trailer).digest();
  const value = sign(null, digest, forger.key);
  const body = [
    signed,
    uint16(outer.length),
    outer,
    digest.subarray(0, 2),
    mpi(value.subarray(0, 32)),
    mpi(value.subarray(32)),
  ];
  return packet(2, Buffer.concat(body));
}

/** A version 3 signature, as gpg made them until 2014. */
export function forgeVersion3(forger: Forger, bytes: Uint8Array): Buffer {
  const signed = Buffer.concat([Buffer.of(0), uint32(forger.createdAt)]);
  const digest = createHash('sha512').update(bytes).update(signed).digest();
  const value = sign(null, digest, forger.key);
  const keyId = Buffer.from(forger.fingerprint, 'hex').subarray(-8);
  const start = Buffer.concat([Buffer.of(3, 5), signed, keyId, Buffer.of(22, 10), digest.subarray(0, 2)]);
  return packet(2, Buffer.concat([start, mpi(value.subarray(0, 32)), mpi(value.subarray(32))]));
}

/** In the new format, with a five-octet length. */
export function packet(tag: number, body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(0xc0 | tag, 0xff), uint32(body.length), body]);
}

export function armored(bytes: Uint8Array, kind = 'SIGNATURE'): Buffer {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return Buffer.from([`-----BEGIN PGP ${kind}-----`, '', ...lines, `-----END PGP ${kind}-----`, ''].join('\n'));
}

function subpacket(kind: number, body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(0xff), uint32(body.length + 1), Buffer.of(kind), body]);
}

function mpi(number: Uint8Array): Buffer {
  const start = number.findIndex((byte) => byte !== 0);
  const bytes = start < 0 ? Buffer.alloc(0) : number.subarray(start);
  const bits = bytes.length * 8 - Math.clz32(bytes[0] ?? 0) + 24;
  return Buffer.concat([uint16(bytes.length === 0 ? 0 : bits), bytes]);
}

function uint16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
