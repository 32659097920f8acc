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

/** Who is trusted for a name, and how strictly. */
type Trust = Pick<VerifySignatureRequest, 'keys' | 'searched' | 'weakKeys' | 'signatures' | 'nowMs'>;

/** Has signatures checked with the keys that are trusted for a name; warns of key files that turn out to hold none. */
export async function withKeyring<R extends Pick<VerifySignatureResponse, 'skipped'>>(
  { keystore, weakKeys, signatures, nowMs }: Omit<VerifyContext, 'pool'>,
  name: string,
  check: (trust: Trust) => Promise<R>,
): Promise<R> {
  const { keys, searched } = await keystore.keyring(name);
  const verified = await check({ keys, searched, weakKeys, signatures, nowMs: nowMs() });
  for (const { path, why } of verified.skipped) keystore.skip(path, why);
  return verified;
}
