import type { Pool } from '../pool/pool.ts';
import type { InspectKeyResponse } from '../../workers/tasks.ts';
import { parseKeyPrefix } from './key-place.ts';
import type { Keystore } from './keystore.ts';

export type TrustContext = { readonly keystore: Keystore; readonly pool: Pick<Pool, 'run'> };

export type TrustRequest = {
  /** The content of a key file, armored or binary; its size is the reader's to limit. */
  readonly certificate: Uint8Array;
  /** A path, or a URL without credentials and query. */
  readonly location: string;
  /** Absent: the key is trusted for every name. */
  readonly prefix?: string;
  readonly layer: number;
  /** Asked with what the key says of itself, before anything is written. Default: yes. */
  readonly accept?: (key: InspectKeyResponse) => boolean | Promise<boolean>;
};

export type TrustedNow = { readonly path: string; readonly key: InspectKeyResponse };

/**
 * Adds a key to the keystore.
 *
 * @returns undefined when it was not accepted.
 * @throws KEY_INVALID for a secret key and for what cannot be parsed, NAME_INVALID, STORE_READ_ONLY, STORE_FULL.
 */
export async function trustKey(
  { keystore, pool }: TrustContext,
  { certificate, location, prefix, layer, accept = () => true }: TrustRequest,
): Promise<TrustedNow | undefined> {
  if (prefix !== undefined) parseKeyPrefix(prefix);
  const key = await pool.run('inspectKey', { certificate, location });
  if (!(await accept(key))) return undefined;
  const { fingerprint } = key;
  const path = await keystore.add({ certificate, fingerprint, layer, ...(prefix !== undefined && { prefix }) });
  return { path, key };
}
