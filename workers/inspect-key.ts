import { ImageError, isImageError } from '../src/errors.ts';
import { readPublicCertificate } from './certificate.ts';
import type { Key, Subkey } from './openpgp.ts';
import { splitCertificates } from './split-certificates.ts';
import type {
  InspectedKey,
  InspectKeyRequest,
  InspectKeyResponse,
  InspectKeysResponse,
  RefusedCertificate,
} from './tasks.ts';

/** The first certificate of a file. @throws KEY_INVALID for a secret key and for what cannot be parsed. */
export async function inspectKey({ certificate, location }: InspectKeyRequest): Promise<InspectKeyResponse> {
  return describe(await readPublicCertificate(certificate, location));
}

/**
 * Every certificate of a file. What cannot be used at all is refused with the reason, the others are not.
 *
 * @throws KEY_INVALID where there is none that can be used, LIMIT_EXCEEDED
 */
export async function inspectKeys({ certificate, location }: InspectKeyRequest): Promise<InspectKeysResponse> {
  const found = splitCertificates(certificate) ?? [certificate];
  const keys: InspectedKey[] = [];
  const refused: RefusedCertificate[] = [];
  let first: ImageError | undefined;
  for (const [index, one] of found.entries()) {
    try {
      const key = await readPublicCertificate(one, location);
      const described = await describe(key);
      if (described.fault?.kind === 'unsupported') throw unusable(described, described.fault.why, location);
      // A file of one certificate is kept as it was given.
      keys.push({ ...described, certificate: found.length === 1 ? certificate : one });
    } catch (error) {
      if (!isImageError(error)) throw error;
      first ??= error;
      refused.push({ number: index + 1, why: error.message });
    }
  }
  if (keys.length === 0 && first) throw first;
  return { keys, refused };
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

/** Why a certificate verifies nothing as of now, if so. @see docs/rules.md S5, S6, S9 */
async function faultOf(certificate: Key, { now, expiry, revoked }: Facts): Promise<InspectKeyResponse['fault']> {
  if (revoked) return { kind: 'revoked', why: 'it is revoked' };
  if (expiry && expiry <= now) return { kind: 'expired', why: `it expired at ${expiry.toISOString()}` };
  const { strictPolicy, weakPolicy } = await import('./openpgp.ts');
  const { keyFault } = await import('./key-fault.ts');
  const { checkStanding } = await import('./key-standing.ts');
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
    return { kind: 'weak', why: `it is too weak (${what}); --insecure-options=weak-keys accepts it` };
  }
  const unsupported = keyFault({ certificate, key: certificate }, weakPolicy);
  if (unsupported?.code === 'KEY_INVALID') {
    const { curve } = certificate.getAlgorithmInfo();
    return { kind: 'unsupported', why: `the curve ${curve ?? 'of its key'} is not supported` };
  }
  return { kind: 'no-signer', why: 'none of its keys may sign now' };
}
