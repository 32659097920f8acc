import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';

import * as z from 'zod';

import { ImageError, isImageError } from '../../errors.ts';
import { whyFailed } from '../../system/errno.ts';
import { readNamed } from '../../system/files.ts';
import { checkShape } from '../shape.ts';
import { show } from '../show.ts';
import { spkiOf } from './identity.ts';

const signAsync = promisify(sign);
const verifyAsync = promisify(verify);

/** A key that signs envelopes, or verifies those that it has signed. */
export type EnvelopeKey = {
  /** The SHA-256 of the public key's SubjectPublicKeyInfo, in lower-case hex. */
  readonly keyId: string;
  readonly key: KeyObject;
  readonly hash: string | null;
};

export type SigningKey = EnvelopeKey & {
  /** What should be said before the work begins. */
  readonly warnings: readonly string[];
};

/** Public keys by their IDs. */
export type AcceptedKeys = ReadonlyMap<string, EnvelopeKey>;

/** Far more than a key needs. */
const maxBytes = 64 * 1024;
const minRsaBits = 2048;

/** The hash of each curve is as strong as the curve. */
const curves: Readonly<Record<string, string>> = { prime256v1: 'sha256', secp384r1: 'sha384', secp521r1: 'sha512' };

/** Makes a key that is used by this process alone. */
export function newSigningKey(): SigningKey {
  return { ...envelopeKey(generateKeyPairSync('ed25519').privateKey), warnings: [] };
}

/** The public part of a key, as one that is accepted. */
export function acceptedKey(key: EnvelopeKey): AcceptedKeys {
  return new Map([[key.keyId, key]]);
}

/** Reads the private key in a PEM file. @throws USAGE when it cannot be used */
export async function readSigningKey(path: string, option: string): Promise<SigningKey> {
  return await readKeyFile(path, option, async (pem) => {
    const key = parsePrivateKey(pem);
    return { ...envelopeKey(key), warnings: await modeWarnings(path) };
  });
}

/** Reads the public keys in a PEM file. Of a private key its public part counts. @throws USAGE when one cannot be used */
export async function readAcceptedKeys(path: string, option: string): Promise<AcceptedKeys> {
  return await readKeyFile(path, option, (pem) => acceptedKeys([...pem.matchAll(pemBlock)].map(([block]) => block)));
}

const pemBlock = /^-----BEGIN ([A-Z0-9 ]*KEY|CERTIFICATE)-----[^-]*-----END \1-----/gm;

function acceptedKeys(blocks: readonly string[]): AcceptedKeys {
  if (blocks.length === 0) throw unusable('it holds no public key in PEM form');
  const keys = blocks.map((block) => envelopeKey(parsePublicKey(block)));
  return new Map(keys.map((key) => [key.keyId, key]));
}

async function readKeyFile<T>(path: string, option: string, parse: (pem: string) => T | Promise<T>): Promise<T> {
  const refuse = (why: string) =>
    new ImageError('USAGE', `${option}: cannot use "${show(path)}": ${show(why)}`, { option });
  try {
    const pem = await readNamed(path, maxBytes);
    if (pem.length > maxBytes) throw unusable(`is larger than ${maxBytes} bytes`);
    return await parse(pem.toString('latin1'));
  } catch (error) {
    throw refuse(isImageError(error) ? error.message : whyFailed(error));
  }
}

function parsePrivateKey(pem: string): KeyObject {
  requireNoPassphrase(pem);
  if (!/^-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/m.test(pem)) throw unusable('it holds no private key in PEM form');
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw unusable('its private key cannot be read', cause);
  }
}

function parsePublicKey(pem: string): KeyObject {
  requireNoPassphrase(pem);
  if (/^-----BEGIN CERTIFICATE-/.test(pem)) throw unusable('it holds a certificate; give the public key alone');
  try {
    return createPublicKey(pem);
  } catch (cause) {
    throw unusable('its public key cannot be read', cause);
  }
}

function requireNoPassphrase(pem: string): void {
  if (/^-----BEGIN (?:[A-Z]+ )*ENCRYPTED|^Proc-Type: .*ENCRYPTED/m.test(pem))
    throw unusable('it is encrypted; give one without a passphrase, such as openssl pkey writes');
}

function envelopeKey(key: KeyObject): EnvelopeKey {
  const hash = hashOf(key);
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return { keyId: createHash('sha256').update(spkiOf(publicKey)).digest('hex'), key, hash };
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

/** The type of an in-toto statement. */
export const statementType = 'application/vnd.in-toto+json';

/** A DSSE envelope, in one line. ECDSA signatures are in DER, those of RSA are PKCS #1 v1.5. */
export async function envelopeOf(
  text: string,
  payloadType: string,
  { key, hash, keyId }: EnvelopeKey,
): Promise<string> {
  const payload = Buffer.from(text);
  const signature = await signAsync(hash, preAuthentication(payloadType, payload), key);
  return JSON.stringify({
    payload: payload.toString('base64'),
    payloadType,
    signatures: [{ keyid: keyId, sig: signature.toString('base64') }],
  });
}

/** What is signed. @see https://github.com/secure-systems-lab/dsse, protocol.md */
export function preAuthentication(payloadType: string, payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.byteLength} `;
  return Buffer.concat([Buffer.from(head), payload]);
}

type Opened =
  | { readonly payload: Buffer; readonly keyId: string }
  /** Completes a sentence about the envelope. */
  | { readonly problem: string };

type Acceptance = {
  readonly payloadType: string;
  /** `anybody`: signatures are not verified. */
  readonly keys: AcceptedKeys | 'anybody';
  /** Of the payload. */
  readonly maxBytes: number;
};

const maxSignatures = 16;

const envelopeShape = z.strictObject({
  payload: z.string(),
  payloadType: z.string(),
  signatures: z
    .array(z.strictObject({ keyid: z.string(), sig: z.string() }))
    .min(1)
    .max(maxSignatures),
});

/**
 * Opens an envelope in the form that envelopeOf writes, and no other. A signature by one of the accepted keys is enough; those by others do
 * not count. The payload has not been looked at.
 */
export async function openEnvelope(text: string, { payloadType, keys, maxBytes }: Acceptance): Promise<Opened> {
  const envelope = parseEnvelope(text);
  const payload = envelope && fromBase64(envelope.payload);
  if (!payload) return { problem: 'is no envelope of something signed, as DSSE has it' };
  if (payload.length > maxBytes) return { problem: 'is too large' };
  if (envelope.payloadType !== payloadType)
    return { problem: `is for something else, ${show(envelope.payloadType, 100)}` };
  const [first] = envelope.signatures;
  if (keys === 'anybody') return { payload, keyId: show(first?.keyid ?? '', 64) };
  const signed = preAuthentication(payloadType, payload);
  const signers = envelope.signatures.map(({ keyid }) => show(keyid, 64));
  let isAltered = false;
  for (const { keyid, sig } of envelope.signatures) {
    const accepted = keys.get(keyid);
    if (!accepted) continue;
    const signature = fromBase64(sig);
    if (signature && (await verifyAsync(accepted.hash, signed, accepted.key, signature)))
      return { payload, keyId: keyid };
    isAltered = true;
  }
  return {
    problem: isAltered
      ? 'was altered: its signature is bad'
      : `is signed by ${signers.join(', ')}, whose key is not accepted`,
  };
}

function parseEnvelope(text: string): z.infer<typeof envelopeShape> | undefined {
  try {
    const shaped = checkShape(envelopeShape, JSON.parse(text));
    return shaped.ok && JSON.stringify(shaped.value) === text ? shaped.value : undefined;
  } catch {
    return undefined;
  }
}

/** @returns undefined unless it is the one way to write these bytes */
function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}
