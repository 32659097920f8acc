import type { Pool } from '../pool/pool.ts';
import type { VerifySignatureRequest, VerifySignatureResponse } from '../../workers/tasks.ts';
import type { Keystore } from './keystore.ts';

export type VerifyContext = {
  readonly keystore: Keystore;
  readonly pool: Pick<Pool, 'run'>;
  readonly weakKeys: boolean;
  /** Signatures that a file may hold. */
  readonly signatures: number;
  readonly nowMs: () => number;
};

/** `name` is the image's own, from its manifest; either digests of the ingest or the archive to read again. */
export type ArchiveProof = Pick<VerifySignatureRequest, 'name' | 'signature' | 'location' | 'digests' | 'archive'>;

/**
 * Verifies an archive's signature with the keys that are trusted for its name.
 *
 * @throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED, FILE_UNREADABLE.
 * @see docs/rules.md S
 */
export async function verifyArchive(
  { keystore, pool, weakKeys, signatures, nowMs }: VerifyContext,
  proof: ArchiveProof,
): Promise<VerifySignatureResponse> {
  const { keys, searched } = await keystore.keyring(proof.name);
  const request = { ...proof, keys, searched, weakKeys, signatures, nowMs: nowMs() };
  const verified = await pool.run('verifySignature', request);
  for (const { path, why } of verified.skipped) keystore.skip(path, why);
  return verified;
}
