import { createHash } from 'node:crypto';

import { ImageError, isImageError } from '../../src/errors.ts';
import {
  compileRule,
  describeRule,
  formatRule,
  isRuleFile,
  ruleFingerprint,
} from '../../src/image/sigstore/identity.ts';
import { parseRule } from '../../src/image/sigstore/parse-rule.ts';
import { setNewest } from '../../src/system/bounded-map.ts';
import { lazy } from '../../src/system/single-flight.ts';
import { inspectPublicKey, isPem, splitPem } from '../proofs/public-key.ts';
import type {
  InspectedKey,
  InspectKeyRequest,
  InspectKeyResponse,
  InspectKeysResponse,
  RefusedCertificate,
  TrustedKey,
  VerifySignatureResponse,
} from '../tasks.ts';
import type { Key, Subkey } from './openpgp.ts';
import { dearmorKeys, describeKeyFile, readHeader, tagOf } from './packets.ts';

const openpgpModule = lazy(() => import('./openpgp.ts'));

/**
 * Reads the first certificate of a file, armored or binary.
 *
 * @throws KEY_INVALID for a secret key and for a file that cannot be parsed.
 * @see docs/rules.md S2
 */
export async function readPublicCertificate(bytes: Uint8Array, location: string): Promise<Key> {
  const { readCertificate } = await openpgpModule();
  const key = await readCertificate(bytes).catch((error: unknown) => {
    const message = `${location} is not a public key: ${describeKeyFile(bytes)}`;
    throw new ImageError('KEY_INVALID', message, { path: location }, { cause: error });
  });
  if (!key.isPrivate()) return key;
  const details = { fingerprint: key.getFingerprint(), path: location };
  throw new ImageError('KEY_INVALID', `${location} is a secret key: only its public part belongs here`, details);
}

export type Trusted = {
  readonly certificates: readonly Key[];
  /** Key files that could not be used. */
  readonly skipped: VerifySignatureResponse['skipped'];
};

/**
 * Reads the trusted certificates. Of several files with one fingerprint, the last valid one counts. @see docs/rules.md
 * S2
 */
export async function readTrusted(keys: readonly TrustedKey[]): Promise<Trusted> {
  const certificates = new Map<string, Key>();
  const skipped: { readonly path: string; readonly why: string }[] = [];
  for (const { fingerprint, certificate, path } of keys) {
    try {
      const key = await readCached(certificate);
      const found = key.getFingerprint();
      if (found === fingerprint) certificates.set(fingerprint, key);
      else skipped.push({ path, why: `it holds the key ${found}` });
    } catch (error) {
      if (!isImageError(error)) throw error;
      skipped.push({ path, why: error.message });
    }
  }
  return { certificates: Array.from(certificates.values()), skipped };
}

/** Parsed keys by the hash of their bytes: usually one key has signed most images of a batch. */
const parsed = new Map<string, Key>();
const parsedMaximum = 256;

async function readCached(bytes: Uint8Array): Promise<Key> {
  const hash = createHash('sha256').update(bytes).digest('base64');
  const key = parsed.get(hash) ?? (await readPublicCertificate(bytes, 'it'));
  setNewest(parsed, hash, key, parsedMaximum);
  return key;
}

/**
 * Describes the first certificate of a file. @throws KEY_INVALID for a secret key and for a file that cannot be parsed.
 */
export async function inspectKey({ certificate, location }: InspectKeyRequest): Promise<InspectKeyResponse> {
  if (isRuleFile(certificate)) return inspectRule({ certificate, location });
  if (isPem(certificate)) return inspectPublicKey({ certificate, location });
  return describe(await readPublicCertificate(certificate, location));
}

/**
 * Describes every certificate of a file. Those that are not usable at all are listed with the reason.
 *
 * @throws KEY_INVALID when none is usable, LIMIT_EXCEEDED
 */
export async function inspectKeys({ certificate, location }: InspectKeyRequest): Promise<InspectKeysResponse> {
  if (isRuleFile(certificate)) return { keys: [await inspectRule({ certificate, location })], refused: [] };
  const isOfPem = isPem(certificate);
  const parts = isOfPem ? splitPem(certificate) : (splitCertificates(certificate) ?? []);
  requireFew(parts.length);
  const found = parts.length > 0 ? parts : [certificate];
  const keys: InspectedKey[] = [];
  const refused: RefusedCertificate[] = [];
  let first: ImageError | undefined;
  for (const [index, bytes] of found.entries()) {
    try {
      if (isOfPem) {
        keys.push({ ...inspectPublicKey({ certificate: bytes, location }), certificate: bytes });
        continue;
      }
      const key = await readPublicCertificate(bytes, location);
      const described = await describe(key);
      if (described.fault?.kind === 'unsupported') throw unusable(described, described.fault.why, location);
      // A file with one certificate is kept byte for byte.
      keys.push({ ...described, certificate: found.length === 1 ? certificate : bytes });
    } catch (error) {
      if (!isImageError(error)) throw error;
      first ??= error;
      refused.push({ number: index + 1, why: error.message });
    }
  }
  if (keys.length === 0 && first) throw first;
  return { keys, refused };
}

/** The identities that may sign, in a file as `trust` writes it. */
async function inspectRule({ certificate, location }: InspectKeyRequest): Promise<InspectedKey> {
  const rule = parseRule(certificate, location);
  await compileRule(rule, location);
  const own = formatRule(rule);
  const facts = { subkeys: [], identities: describeRule(rule), revoked: false };
  return { kind: 'identity', fingerprint: ruleFingerprint(own), ...facts, certificate: own };
}

function unusable({ fingerprint }: InspectKeyResponse, why: string, location: string): ImageError<'KEY_INVALID'> {
  return new ImageError('KEY_INVALID', `the key ${fingerprint} can verify nothing: ${why}`, {
    fingerprint,
    path: location,
  });
}

async function describe(key: Key): Promise<InspectKeyResponse> {
  const { expiryOf, isRevoked } = await import('./key-standing.ts');
  const now = new Date();
  const expiry = await expiryOf(key, now);
  const revoked = await isRevoked(key, now);
  const fault = await faultOf(key, { now, expiry, revoked });
  return {
    kind: 'openpgp',
    fingerprint: key.getFingerprint(),
    subkeys: key.getSubkeys().map((subkey) => subkey.getFingerprint()),
    identities: key.getUserIDs(),
    createdAtMs: key.getCreationTime().getTime(),
    ...(expiry && { expiresAtMs: expiry.getTime() }),
    revoked,
    ...(fault && { fault }),
  };
}

type Facts = { readonly now: Date; readonly expiry: Date | undefined; readonly revoked: boolean };

/** Why a certificate cannot verify anything now; undefined when it can. @see docs/rules.md S5, S6, S9 */
async function faultOf(certificate: Key, { now, expiry, revoked }: Facts): Promise<InspectKeyResponse['fault']> {
  if (revoked) return { kind: 'revoked', why: 'it is revoked' };
  if (expiry && expiry <= now) return { kind: 'expired', why: `it expired at ${expiry.toISOString()}` };
  const { strictPolicy, weakPolicy } = await import('./openpgp.ts');
  const { checkStanding, keyFault } = await import('./key-standing.ts');
  const keys: readonly (Key | Subkey)[] = certificate.getKeys();
  const maySign = async (key: Key | Subkey, policy: typeof strictPolicy): Promise<boolean> => {
    if (keyFault({ certificate, key }, policy)) return false;
    return checkStanding({ certificate, key }, now, policy).then(
      () => true,
      () => false,
    );
  };
  for (const key of keys) if (await maySign(key, strictPolicy)) return undefined;
  for (const key of keys) {
    if (!(await maySign(key, weakPolicy))) continue;
    const weak = keyFault({ certificate, key }, strictPolicy);
    const what = weak && 'algorithm' in weak.details ? weak.details.algorithm : 'bound by SHA-1';
    return { kind: 'weak', why: `it is too weak (${what})` };
  }
  const unsupported = keyFault({ certificate, key: certificate }, weakPolicy);
  if (unsupported?.code === 'KEY_INVALID') {
    const { curve } = certificate.getAlgorithmInfo();
    return { kind: 'unsupported', why: `the curve ${curve ?? 'of its key'} is not supported` };
  }
  return { kind: 'no-signer', why: 'none of its keys may sign now' };
}

/** The most certificates in one file. */
const certificatesMaximum = 256;

function requireFew(count: number): void {
  if (count <= certificatesMaximum) return;
  const message = `a file of ${count} certificates, more than ${certificatesMaximum}`;
  throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'certificates', maximum: certificatesMaximum });
}

const [secretKeyTag, publicKeyTag] = [5, 6];

/**
 * Splits a file into its certificates, in binary form. Armored certificates, in one block or several, may have other
 * text around them.
 *
 * @returns undefined for other files. @throws LIMIT_EXCEEDED
 * @see RFC 9580 §10.1
 */
export function splitCertificates(file: Uint8Array): readonly Uint8Array[] | undefined {
  const isBinary = ((file[0] ?? 0) & 0x80) !== 0;
  const bytes = isBinary ? file : dearmorKeys(Buffer.from(file).toString('latin1'));
  if (!bytes) return undefined;
  const starts: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = tagOf(bytes[at] ?? 0);
    const span = tag === undefined ? undefined : readHeader(bytes, at);
    if (!span) return undefined;
    if (tag === publicKeyTag || tag === secretKeyTag) starts.push(at);
    if (starts.length === 0) return undefined;
    at = span.end;
  }
  requireFew(starts.length);
  return starts.map((start, index) => bytes.subarray(start, starts[index + 1] ?? bytes.length));
}
