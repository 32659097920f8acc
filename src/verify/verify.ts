import type {
  VerifySignatureRequest,
  VerifySignatureResponse,
  VerifySimpleSignatureRequest,
  VerifySimpleSignatureResponse,
  InspectSignatureResponse,
} from '../../workers/tasks.ts';
import type { Pool } from '../pool/pool.ts';
import type { Keystore } from './keystore.ts';

/** `name` is the image's own, from its manifest; either digests of the ingest or the archive to read again. */
type ArchiveProof = Pick<VerifySignatureRequest, 'name' | 'signature' | 'location' | 'digests' | 'archive'>;

/**
 * Verifies an archive's signature with the keys that are trusted for its name.
 *
 * @throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED, FILE_UNREADABLE.
 * @see docs/rules.md S
 */
export function verifyArchive(context: VerifyContext, proof: ArchiveProof): Promise<VerifySignatureResponse> {
  return withKeyring(context, proof.name, (trust) => context.pool.run('verifySignature', { ...proof, ...trust }));
}

type RegistryProof = Pick<VerifySimpleSignatureRequest, 'name' | 'messages' | 'messageBytes' | 'reference' | 'digests'>;

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

type VerifyContext = {
  readonly keystore: Keystore;
  readonly pool: Pick<Pool, 'run'>;
  readonly weakKeys: boolean;
  /** Signatures that a file may hold. */
  readonly signatures: number;
  readonly nowMs: () => number;
};

/** Who is trusted for a name, and how strictly. */
type Trust = Pick<VerifySignatureRequest, 'keys' | 'searched' | 'weakKeys' | 'signatures' | 'nowMs'>;

/** Has signatures checked with the keys that are trusted for a name; warns of key files that turn out to hold none. */
async function withKeyring<R extends Pick<VerifySignatureResponse, 'skipped'>>(
  { keystore, weakKeys, signatures, nowMs }: Omit<VerifyContext, 'pool'>,
  name: string,
  check: (trust: Trust) => Promise<R>,
): Promise<R> {
  const { keys, searched } = await keystore.keyring(name);
  const verified = await check({ keys, searched, weakKeys, signatures, nowMs: nowMs() });
  for (const { path, why } of verified.skipped) keystore.skip(path, why);
  return verified;
}
