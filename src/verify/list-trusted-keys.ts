import type { InspectKeyResponse } from '../../workers/tasks.ts';
import { ImageError, isImageError } from '../errors.ts';
import { isWithinPrefix } from '../image/ac-identifier.ts';
import { defaultLimits } from '../image/limits.ts';
import { show } from '../image/show.ts';
import { whyFailed } from '../system/errno.ts';
import { readFound } from '../system/files.ts';
import type { KeyFile } from './keystore.ts';
import type { TrustContext } from './trust.ts';

/** A key that is trusted for a prefix of names, or for every name. Absent members are left out. */
export type TrustedKeyRow = {
  /** A certificate of OpenPGP, a public key in PEM, as cosign uses it, or who may sign with a certificate of sigstore. */
  readonly kind: 'openpgp' | 'public-key' | 'identity';
  /** Lower-case hexadecimal digits. */
  readonly fingerprint: string;
  /** The names that it is trusted for: this one, and those that begin with it and a slash. */
  readonly prefix?: string;
  /** It is trusted for every name. */
  readonly root?: true;
  /** Index into the keystore's directories. */
  readonly layer: number;
  /** The user IDs of the key: text from outside, not escaped. Of an identity, what is said of it and of its issuer. */
  readonly identities: readonly string[];
  /** Of a public key: `ECDSA P-256`. */
  readonly algorithm?: string;
  /** ISO 8601 in UTC; absent for a key that does not expire. */
  readonly expiresAt?: string;
  /** Its owner has revoked it. */
  readonly revoked?: true;
  /** Why the key cannot verify anything now, if that is so. */
  readonly fault?: string;
  /** A later layer masks the key for all names that it is trusted for in this layer. */
  readonly masked: boolean;
};

/**
 * Lists the keys of the keystore. Masks have no rows of their own.
 *
 * @param onWarning - called for each file that does not contain the key that it is named by.
 */
export async function listTrustedKeys(
  { keystore, pool }: TrustContext,
  onWarning: (message: string) => void,
): Promise<readonly TrustedKeyRow[]> {
  const files = await keystore.list();
  const masks = files.filter(({ masked }) => masked);
  const rows: TrustedKeyRow[] = [];
  for (const file of files) {
    if (file.masked) continue;
    const key = await inspect(pool, file).catch((error: unknown) => {
      if (!isImageError(error)) throw error;
      onWarning(`trusted key file skipped: ${error.message}`);
    });
    if (!key) continue;
    const { fingerprint, prefix, layer } = file;
    rows.push({
      kind: key.kind,
      fingerprint,
      ...(prefix === undefined ? { root: true } : { prefix }),
      layer,
      identities: key.identities,
      ...(key.algorithm !== undefined && { algorithm: key.algorithm }),
      ...(key.expiresAtMs !== undefined && { expiresAt: new Date(key.expiresAtMs).toISOString() }),
      ...(key.revoked && { revoked: true as const }),
      ...(key.fault && { fault: key.fault.why }),
      masked: masks.some((mask) => hides(mask, file)),
    });
  }
  return rows;
}

async function inspect(pool: TrustContext['pool'], { path, fingerprint }: KeyFile): Promise<InspectKeyResponse> {
  const location = show(path, 4096);
  const certificate = await readFound(path, defaultLimits.key).catch((error: unknown) => {
    const why = show(whyFailed(error), 4096);
    throw new ImageError('FILE_UNREADABLE', `${location} can't be read: ${why}`, { path }, { cause: error });
  });
  const key = await pool.run('inspectKey', { certificate, location });
  if (key.fingerprint === fingerprint) return key;
  const details = { fingerprint: key.fingerprint, path };
  throw new ImageError('KEY_INVALID', `${location} contains the key ${key.fingerprint}`, details);
}

/** Whether a mask of a later layer applies to all names that a key is trusted for. */
function hides(mask: KeyFile, file: KeyFile): boolean {
  if (mask.fingerprint !== file.fingerprint || mask.layer <= file.layer) return false;
  return mask.prefix === undefined || (file.prefix !== undefined && isWithinPrefix(file.prefix, mask.prefix));
}
