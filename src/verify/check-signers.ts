import type { InspectSignatureResponse } from '../../workers/tasks.ts';
import type { ArchiveProof } from './verify-archive.ts';
import type { VerifyContext } from './with-keyring.ts';

/**
 * Whether a signature says that a key trusted for the name made it: asked before the image is downloaded, proven only
 * afterwards.
 *
 * @throws KEY_UNKNOWN, SIGNATURE_UNREADABLE, SIGNATURE_INVALID without a signed date, LIMIT_EXCEEDED.
 */
export async function checkSigners(
  { keystore, pool, signatures }: Pick<VerifyContext, 'keystore' | 'pool' | 'signatures'>,
  { name, signature, location }: Pick<ArchiveProof, 'name' | 'signature' | 'location'>,
): Promise<InspectSignatureResponse> {
  const { keys, searched } = await keystore.keyring(name);
  return pool.run('inspectSignature', { signature, location, signatures, trusted: { keys, searched, name } });
}
