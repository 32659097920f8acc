import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';

import { ImageError, isImageError, show } from '../../../internal.ts';
import { whyFailed } from '../../../system/errno.ts';
import { readNamed } from '../../../system/files.ts';
import { usageError } from '../../options/option.ts';

const signAsync = promisify(sign);

/** The key of `--attest-key`. */
export type SigningKey = {
  /** The SHA-256 of the public key's SubjectPublicKeyInfo, in lower-case hex. */
  readonly keyId: string;
  readonly key: KeyObject;
  readonly hash: string | null;
  /** What should be said before the work begins. */
  readonly warnings: readonly string[];
};

/** Far more than a key needs. */
const maxBytes = 64 * 1024;
const minRsaBits = 2048;

/** The hash of each curve is as strong as the curve. */
const curves: Readonly<Record<string, string>> = { prime256v1: 'sha256', secp384r1: 'sha384', secp521r1: 'sha512' };

/** Reads the private key in a PEM file. @throws USAGE when it cannot be used */
export async function readSigningKey(path: string, option: string): Promise<SigningKey> {
  try {
    const pem = await readNamed(path, maxBytes);
    if (pem.length > maxBytes) throw unusable(`is larger than ${maxBytes} bytes`);
    const key = parsePrivateKey(pem.toString('latin1'));
    const hash = hashOf(key);
    const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
    const keyId = createHash('sha256').update(spki).digest('hex');
    return { keyId, key, hash, warnings: await modeWarnings(path) };
  } catch (error) {
    if (isImageError(error)) throw usageError(`cannot use "${show(path)}": ${error.message}`, option);
    throw usageError(`cannot use "${show(path)}": ${show(whyFailed(error))}`, option);
  }
}

function parsePrivateKey(pem: string): KeyObject {
  if (/^-----BEGIN (?:[A-Z]+ )*ENCRYPTED|^Proc-Type: .*ENCRYPTED/m.test(pem))
    throw unusable('it is encrypted; give one without a passphrase, such as openssl pkey writes');
  if (!/^-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/m.test(pem)) throw unusable('it holds no private key in PEM form');
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw unusable('its private key cannot be read', cause);
  }
}

/** @returns null for a kind of key that hashes by itself */
function hashOf({ asymmetricKeyType: type, asymmetricKeyDetails: details = {} }: KeyObject): string | null {
  const curve = details.namedCurve ?? '';
  const hash = Object.hasOwn(curves, curve) ? curves[curve] : undefined;
  if (type === 'ed25519') return null;
  if (type === 'ec' && hash !== undefined) return hash;
  if (type === 'ec') throw unusable(`its curve is ${show(curve)}; want P-256, P-384 or P-521`);
  if (type !== 'rsa') throw unusable(`it is a key of the kind ${show(type ?? '')}; want ECDSA, ed25519 or RSA`);
  const bits = details.modulusLength ?? 0;
  if (bits < minRsaBits) throw unusable(`its RSA key has ${bits} bits; want ${minRsaBits} at least`);
  return 'sha256';
}

async function modeWarnings(path: string): Promise<readonly string[]> {
  const { mode } = await stat(path);
  if ((mode & 0o077) === 0) return [];
  return [`${show(path, 4096)} can be read by others: chmod 600 keeps the key to you`];
}

function unusable(message: string, cause?: unknown): ImageError<'KEY_INVALID'> {
  return new ImageError('KEY_INVALID', message, {}, { cause });
}

const payloadType = 'application/vnd.in-toto+json';

/** A DSSE envelope of a statement, in one line. ECDSA signatures are in DER, those of RSA are PKCS #1 v1.5. */
export async function envelopeOf(statement: string, { key, hash, keyId }: SigningKey): Promise<string> {
  const payload = Buffer.from(statement);
  const signature = await signAsync(hash, preAuthentication(payload), key);
  return JSON.stringify({
    payload: payload.toString('base64'),
    payloadType,
    signatures: [{ keyid: keyId, sig: signature.toString('base64') }],
  });
}

/** What is signed. @see https://github.com/secure-systems-lab/dsse, protocol.md */
function preAuthentication(payload: Buffer): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.byteLength} `;
  return Buffer.concat([Buffer.from(head), payload]);
}
