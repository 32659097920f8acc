import { createHash } from 'node:crypto';

import { ImageError, isImageError } from '../src/errors.ts';
import { lazy } from './lazy.ts';
import { describeKeyFile } from './signature-unreadable.ts';
import type { Key } from './openpgp.ts';
import type { TrustedKey, VerifySignatureResponse } from './tasks.ts';

const openpgpModule = lazy(() => import('./openpgp.ts'));

/**
 * The first certificate of a file, armored or binary.
 *
 * @throws KEY_INVALID for a secret key and for what cannot be parsed.
 * @see docs/rules.md S2
 */
export async function readPublicCertificate(bytes: Uint8Array, location: string): Promise<Key> {
  const { readCertificate } = await openpgpModule();
  const key = await readCertificate(bytes).catch((error: unknown) => {
    const message = `${location} is not a public key: ${describeKeyFile(bytes)}`;
    throw new ImageError('KEY_INVALID', message, { path: location }, { cause: error });
  });
  if (!key.isPrivate()) return key;
  const details = { fingerprint: key.getFingerprint(), path: location };
  throw new ImageError('KEY_INVALID', `${location} is a secret key: only its public part belongs here`, details);
}

export type Trusted = {
  readonly certificates: readonly Key[];
  /** Files that are not used. */
  readonly skipped: VerifySignatureResponse['skipped'];
};

/** Of several files for one fingerprint the last good one counts. @see docs/rules.md S2 */
export async function readTrusted(keys: readonly TrustedKey[]): Promise<Trusted> {
  const certificates = new Map<string, Key>();
  const skipped: { readonly path: string; readonly why: string }[] = [];
  for (const { fingerprint, certificate, path } of keys) {
    try {
      const key = await cached(certificate);
      const found = key.getFingerprint();
      if (found === fingerprint) certificates.set(fingerprint, key);
      else skipped.push({ path, why: `it holds the key ${found}` });
    } catch (error) {
      if (!isImageError(error)) throw error;
      skipped.push({ path, why: error.message });
    }
  }
  return { certificates: Array.from(certificates.values()), skipped };
}

/** Parsed keys by the hash of their bytes: of ten thousand images most are signed by one key. */
const parsed = new Map<string, Key>();
const parsedMaximum = 256;

async function cached(bytes: Uint8Array): Promise<Key> {
  const hash = createHash('sha256').update(bytes).digest('base64');
  const key = parsed.get(hash) ?? (await readPublicCertificate(bytes, 'it'));
  parsed.delete(hash); // the last used are the last to go
  parsed.set(hash, key);
  const [oldest] = parsed.keys();
  if (parsed.size > parsedMaximum && oldest !== undefined) parsed.delete(oldest);
  return key;
}
