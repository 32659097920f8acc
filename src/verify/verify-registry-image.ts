import type { VerifySimpleSignatureRequest, VerifySimpleSignatureResponse } from '../../workers/tasks.ts';
import { withKeyring, type VerifyContext } from './with-keyring.ts';

export type RegistryProof = Pick<
  VerifySimpleSignatureRequest,
  'name' | 'messages' | 'messageBytes' | 'reference' | 'digests'
>;

/**
 * Verifies what is signed about an image of a registry with the keys that are trusted for its repository.
 *
 * @throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED.
 * @see docs/rules.md R6
 */
export function verifyRegistryImage(
  context: VerifyContext,
  proof: RegistryProof,
): Promise<VerifySimpleSignatureResponse> {
  return withKeyring(context, proof.name, (trust) => context.pool.run('verifySimpleSignature', { ...proof, ...trust }));
}
