import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';

import { ImageError, isImageError } from '../../src/errors.ts';
import { isPublicKeyFile, pemLabel } from '../../src/image/proof.ts';
import { show } from '../../src/image/show.ts';
import { spkiOf } from '../../src/image/sigstore/identity.ts';
import { setNewest } from '../../src/system/bounded-map.ts';
import type { InspectKeyRequest, InspectKeyResponse, TrustedKey, VerifySignatureResponse } from '../tasks.ts';

/** A public key that cosign signs with. */
export type PublicKey = {
  /** SHA-256 of its SubjectPublicKeyInfo, lower-case hex. */
  readonly fingerprint: string;
  /** For people: `ECDSA P-256`. */
  readonly algorithm: string;
  readonly key: KeyObject;
  /** The hashes that it may sign with; undefined if it hashes itself. The first is the one that cosign uses by default. */
  readonly hashes: readonly (string | undefined)[];
};

const leastRsaBits = 2048;
/** Each signature by a larger key would take too long. */
const mostRsaBits = 16_384;

const curves: Readonly<Record<string, { readonly algorithm: string; readonly hashes: PublicKey['hashes'] }>> = {
  prime256v1: { algorithm: 'ECDSA P-256', hashes: ['sha256'] },
  secp384r1: { algorithm: 'ECDSA P-384', hashes: ['sha256', 'sha384'] },
  secp521r1: { algorithm: 'ECDSA P-521', hashes: ['sha256', 'sha512'] },
};

/**
 * Reads a public key in PEM.
 *
 * @throws KEY_INVALID for anything else and for an algorithm that is not supported, KEY_WEAK for a short RSA key
 */
export function readPublicKey(bytes: Uint8Array, location: string): PublicKey {
  if (!isPublicKeyFile(bytes)) throw invalid(location, `it is ${describePem(bytes)}`);
  const key = parseKey(bytes, location);
  const fingerprint = createHash('sha256').update(spkiOf(key)).digest('hex');
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return { fingerprint, key, algorithm: 'Ed25519', hashes: [undefined] };
    case 'ec': {
      const curve = Object.hasOwn(curves, namedCurve) ? curves[namedCurve] : undefined;
      if (!curve) throw invalid(location, `the curve ${namedCurve || 'of it'} is not supported`, fingerprint);
      return { fingerprint, key, ...curve };
    }
    case 'rsa': {
      const algorithm = `RSA of ${modulusLength} bits`;
      if (modulusLength < leastRsaBits) {
        const message = `the key ${fingerprint} is too weak to prove anything: ${algorithm}`;
        throw new ImageError('KEY_WEAK', message, { fingerprint, algorithm: `a public key, ${algorithm}` });
      }
      if (modulusLength > mostRsaBits) throw invalid(location, `${algorithm} is not supported`, fingerprint);
      return { fingerprint, key, algorithm, hashes: ['sha256'] };
    }
    default:
      throw invalid(location, `a key for ${key.asymmetricKeyType ?? 'something else'} is not supported`, fingerprint);
  }
}

function parseKey(bytes: Uint8Array, location: string): KeyObject {
  try {
    return createPublicKey(Buffer.from(bytes));
  } catch (error) {
    throw invalid(location, 'it is damaged or cut short', undefined, error);
  }
}

function invalid(path: string, why: string, fingerprint?: string, cause?: unknown): ImageError<'KEY_INVALID'> {
  const details = { path, ...(fingerprint !== undefined && { fingerprint }) };
  return new ImageError('KEY_INVALID', `${path} can't be used as a public key: ${why}`, details, { cause });
}

function describePem(bytes: Uint8Array): string {
  const what = pemLabel(bytes) ?? 'something else';
  if (what.endsWith('PRIVATE KEY')) return 'a secret key: only its public part belongs here';
  return what === 'CERTIFICATE' ? 'a certificate, and not a public key' : `of another kind, ${show(what)}`;
}

/** Whether a file is in PEM, but not one of OpenPGP. */
export function isPem(bytes: Uint8Array): boolean {
  return !(pemLabel(bytes) ?? 'PGP ').startsWith('PGP ');
}

/** The parts of a file in PEM. */
export function splitPem(bytes: Uint8Array): readonly Uint8Array[] {
  const text = Buffer.from(bytes).toString('latin1');
  const parts = Array.from(text.matchAll(/-----BEGIN ([^-\n]*)-----[^-]*-----END \1-----\r?\n?/g), ([part]) => part);
  return parts.map((part) => Buffer.from(part, 'latin1'));
}

export function inspectPublicKey({ certificate, location }: InspectKeyRequest): InspectKeyResponse {
  const { fingerprint, algorithm } = readPublicKey(certificate, location);
  return { kind: 'public-key', fingerprint, subkeys: [], identities: [], algorithm, revoked: false };
}

export type TrustedPublicKeys = Pick<VerifySignatureResponse, 'skipped'> & { readonly keys: readonly PublicKey[] };

/** Keys by their text: usually one key has signed most images of a batch. */
const parsed = new Map<string, PublicKey>();
const parsedMaximum = 256;

function readCached(bytes: Uint8Array): PublicKey {
  const text = Buffer.from(bytes).toString('latin1');
  const key = parsed.get(text) ?? readPublicKey(bytes, 'it');
  setNewest(parsed, text, key, parsedMaximum);
  return key;
}

/** Reads the trusted keys of an image. */
export function readTrustedPublicKeys(trusted: readonly TrustedKey[]): TrustedPublicKeys {
  const keys = new Map<string, PublicKey>();
  const skipped: { readonly path: string; readonly why: string }[] = [];
  for (const { fingerprint, certificate, path } of trusted) {
    try {
      const key = readCached(certificate);
      if (key.fingerprint === fingerprint) keys.set(fingerprint, key);
      else skipped.push({ path, why: `it holds the key ${key.fingerprint}` });
    } catch (error) {
      if (!isImageError(error)) throw error;
      skipped.push({ path, why: error.message });
    }
  }
  return { keys: [...keys.values()], skipped };
}

/** Whether a key has made a signature. */
export function hasSigned({ key, hashes }: PublicKey, signed: Uint8Array, signature: Uint8Array): boolean {
  return hashes.some((hash) => verify(hash, signed, key, signature));
}
