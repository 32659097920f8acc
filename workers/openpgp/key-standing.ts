import { ImageError } from '../../src/errors.ts';
import { factPolicy, type Key, type Policy, type Subkey } from './openpgp.ts';

/** A key of a trusted certificate that a signature names as its signer. */
export type Candidate = {
  readonly certificate: Key;
  readonly key: Key | Subkey;
};

/**
 * Checks whether a key may sign at `date`: it is not revoked or expired, is bound to its certificate, and has the flag
 * to sign. The library verifies a signature as of the signature's own date, which its maker chose; this checks the key
 * as of now.
 *
 * @throws KEY_REVOKED and KEY_EXPIRED, also if these are signed with weak algorithms; otherwise the library's error.
 * @see docs/rules.md S5, S6
 */
export async function checkStanding({ certificate, key }: Candidate, date: Date, policy: Policy): Promise<void> {
  for (const part of new Set<Key | Subkey>([certificate, key])) {
    const fingerprint = part.getFingerprint();
    if (await isRevoked(part, date))
      throw new ImageError('KEY_REVOKED', `the key ${fingerprint} is revoked`, { fingerprint });
    const expiry = await expiryOf(part, date);
    if (expiry && expiry <= date) throw keyExpired(fingerprint, expiry, date);
  }
  await certificate.getSigningKey(key.getKeyID(), date, undefined, policy);
}

export async function isRevoked(key: Key | Subkey, date: Date): Promise<boolean> {
  if (!isSubkey(key)) return key.isRevoked(undefined, undefined, date, factPolicy);
  for (const binding of key.bindingSignatures) {
    if (await key.isRevoked(binding, key.mainKey.keyPacket, date, factPolicy)) return true;
  }
  return false;
}

/** @returns undefined when it never expires, or has no valid self-signature. */
export async function expiryOf(key: Key | Subkey, date: Date): Promise<Date | undefined> {
  const expiry = isSubkey(key)
    ? await key.getExpirationTime(date, factPolicy)
    : await key.getExpirationTime(undefined, factPolicy);
  return expiry instanceof Date ? expiry : undefined;
}

function isSubkey(key: Key | Subkey): key is Subkey {
  return 'mainKey' in key;
}

function keyExpired(fingerprint: string, expiry: Date, date: Date): ImageError {
  const expiredAt = expiry.toISOString();
  const message = `the key ${fingerprint} expired at ${expiredAt} (this machine's clock, which may be wrong, says ${date.toISOString()})`;
  return new ImageError('KEY_EXPIRED', message, { fingerprint, expiredAt });
}

/** The fault of the algorithms of a key, or of the certificate it belongs to. @see docs/rules.md S9 */
export function keyFault({ certificate, key }: Candidate, policy: Policy): ImageError | undefined {
  return faultOf(certificate, policy) ?? faultOf(key, policy);
}

function faultOf(key: Key | Subkey, policy: Policy): ImageError | undefined {
  const fingerprint = key.getFingerprint();
  const { algorithm, bits, curve } = key.getAlgorithmInfo();
  if (policy.rejectPublicKeyAlgorithms.has(key.keyPacket.algorithm)) return weak(fingerprint, algorithm);
  if (algorithm.startsWith('rsa') && (bits ?? 0) < policy.minRSABits)
    return weak(fingerprint, `RSA of ${bits ?? 0} bits`);
  for (const rejected of policy.rejectCurves) {
    if (rejected !== curve) continue;
    return new ImageError('KEY_INVALID', `the key ${fingerprint} is on the curve ${curve}, which is not supported`, {
      fingerprint,
    });
  }
  return undefined;
}

function weak(fingerprint: string, algorithm: string): ImageError {
  const message = `the key ${fingerprint} is too weak to prove anything: ${algorithm}`;
  return new ImageError('KEY_WEAK', message, { fingerprint, algorithm });
}
