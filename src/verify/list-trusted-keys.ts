import { ImageError, isImageError } from '../errors.ts';
import { isWithinPrefix } from '../image/ac-identifier.ts';
import { defaultLimits } from '../image/limits.ts';
import { show } from '../image/show.ts';
import { whyFailed } from '../system/errno.ts';
import { readFound } from '../system/files.ts';
import type { InspectKeyResponse } from '../../workers/tasks.ts';
import type { KeyFile } from './keystore.ts';
import type { TrustContext } from './trust.ts';

/** A row of `longshore.keys/1`: a key for a prefix, or for every name. */
export type TrustedKeyRow = {
  readonly fingerprint: string;
  readonly prefix?: string;
  readonly root?: true;
  /** Index into the keystore's directories: 0 is the system's. */
  readonly layer: number;
  /** User IDs, raw: show with care. */
  readonly identities: readonly string[];
  /** ISO 8601 in UTC; absent for a key that does not expire. */
  readonly expiresAt?: string;
  /** Only of a key that is. */
  readonly revoked?: true;
  /** Why it verifies nothing as of now, if so. */
  readonly fault?: string;
  /** A later layer takes it away, wherever it is trusted here. */
  readonly masked: boolean;
};

/**
 * Every key of the keystore that its file is named by; masks show in the rows of the keys that they take away.
 *
 * @param onWarning - told of files that hold something else.
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
      fingerprint,
      ...(prefix === undefined ? { root: true } : { prefix }),
      layer,
      identities: key.identities,
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
  throw new ImageError('KEY_INVALID', `${location} holds the key ${key.fingerprint}`, details);
}

/** Of an earlier layer, and trusted nowhere but where the mask counts. */
function hides(mask: KeyFile, file: KeyFile): boolean {
  if (mask.fingerprint !== file.fingerprint || mask.layer <= file.layer) return false;
  return mask.prefix === undefined || (file.prefix !== undefined && isWithinPrefix(file.prefix, mask.prefix));
}
