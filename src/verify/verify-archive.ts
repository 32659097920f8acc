import type { VerifySignatureRequest, VerifySignatureResponse } from '../../workers/tasks.ts';
import { withKeyring, type VerifyContext } from './with-keyring.ts';

/** `name` is the image's own, from its manifest; either digests of the ingest or the archive to read again. */
export type ArchiveProof = Pick<VerifySignatureRequest, 'name' | 'signature' | 'location' | 'digests' | 'archive'>;

/**
 * Verifies an archive's signature with the keys that are trusted for its name.
 *
 * @throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED, FILE_UNREADABLE.
 * @see docs/rules.md S
 */
export function verifyArchive(context: VerifyContext, proof: ArchiveProof): Promise<VerifySignatureResponse> {
  return withKeyring(context, proof.name, (trust) => context.pool.run('verifySignature', { ...proof, ...trust }));
}
