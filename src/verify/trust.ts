import type { Pool } from '../pool/pool.ts';
import type { InspectKeyResponse, RefusedCertificate } from '../../workers/tasks.ts';
import { parseKeyPrefix } from './key-place.ts';
import type { Keystore } from './keystore.ts';

export type TrustContext = { readonly keystore: Keystore; readonly pool: Pick<Pool, 'run'> };

export type TrustRequest = {
  /** The content of a key file, armored or binary, with one certificate or several; its size is the reader's to limit. */
  readonly certificate: Uint8Array;
  /** A path, or a URL without credentials and query. */
  readonly location: string;
  /** Absent: the keys are trusted for every name. */
  readonly prefix?: string;
  readonly layer: number;
  /** Asked for each with what the key says of itself, before it is written. Default: yes. */
  readonly accept?: (key: InspectKeyResponse) => boolean | Promise<boolean>;
};

/** What became of one certificate of a file: `path` is where it is stored, `why` is why it cannot be used. */
export type TrustOutcome =
  | { readonly kind: 'trusted'; readonly path: string; readonly key: InspectKeyResponse }
  | { readonly kind: 'declined'; readonly key: InspectKeyResponse }
  | ({ readonly kind: 'refused' } & RefusedCertificate);

/**
 * Adds the keys of a file to the keystore, each in a file of its own. Those that verify nothing now are added too, with a
 * `fault`: one that is revoked takes the place of the same key before it was.
 *
 * @throws KEY_INVALID for a secret key and where no certificate can be used, NAME_INVALID, LIMIT_EXCEEDED, STORE_READ_ONLY,
 * STORE_FULL; what was told before stays.
 */
export async function* trustKeys(
  { keystore, pool }: TrustContext,
  { certificate, location, prefix, layer, accept = () => true }: TrustRequest,
): AsyncGenerator<TrustOutcome> {
  if (prefix !== undefined) parseKeyPrefix(prefix);
  const { keys, refused } = await pool.run('inspectKeys', { certificate, location });
  for (const one of refused) yield { kind: 'refused', ...one };
  for (const { certificate: own, ...key } of keys) {
    if (!(await accept(key))) {
      yield { kind: 'declined', key };
      continue;
    }
    const place = { fingerprint: key.fingerprint, layer, ...(prefix !== undefined && { prefix }) };
    yield { kind: 'trusted', path: await keystore.add({ certificate: own, ...place }), key };
  }
}
