import type { VerifySimpleSignatureRequest, VerifySimpleSignatureResponse } from '../../workers/tasks.ts';
import type { VerifyContext } from './verify-archive.ts';

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
export async function verifyRegistryImage(
  { keystore, pool, weakKeys, signatures, nowMs }: VerifyContext,
  proof: RegistryProof,
): Promise<VerifySimpleSignatureResponse> {
  const { keys, searched } = await keystore.keyring(proof.name);
  const request = { ...proof, keys, searched, weakKeys, signatures, nowMs: nowMs() };
  const verified = await pool.run('verifySimpleSignature', request);
  for (const { path, why } of verified.skipped) keystore.skip(path, why);
  return verified;
}
