import { readPublicCertificate } from './certificate.ts';
import type { InspectKeyRequest, InspectKeyResponse } from './tasks.ts';

/** @throws KEY_INVALID for a secret key and for what cannot be parsed. */
export async function inspectKey({ certificate, location }: InspectKeyRequest): Promise<InspectKeyResponse> {
  const key = await readPublicCertificate(certificate, location);
  const { expiryOf, isRevoked } = await import('./key-standing.ts');
  const now = new Date();
  const expiry = await expiryOf(key, now);
  return {
    fingerprint: key.getFingerprint(),
    subkeys: key.getSubkeys().map((subkey) => subkey.getFingerprint()),
    identities: key.getUserIDs(),
    createdAtMs: key.getCreationTime().getTime(),
    ...(expiry && { expiresAtMs: expiry.getTime() }),
    revoked: await isRevoked(key, now),
  };
}
