import { ImageError } from '../src/errors.ts';
import type { Key, Policy, Subkey } from './openpgp.ts';
import type { Candidate } from './signature-signers.ts';

/** What speaks against the algorithms of a key and of the certificate it is part of. @see docs/rules.md S9 */
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
