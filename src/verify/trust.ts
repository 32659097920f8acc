import { randomBytes } from 'node:crypto';
import { chmod, open, rename, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import type { InspectKeyResponse, RefusedCertificate } from '../../workers/tasks.ts';
import { writeError } from '../image/file-error.ts';
import type { Pool } from '../pool/pool.ts';
import { isNoEntry } from '../system/errno.ts';
import { makeDirectories } from '../system/files.ts';
import { syncDirectory } from '../system/write-files.ts';
import { keyPath, parseKeyPrefix } from './key-directory.ts';
import type { Keystore } from './keystore.ts';

export type TrustContext = { readonly keystore: Keystore; readonly pool: Pick<Pool, 'run'> };

type TrustRequest = {
  /** The content of a key file, armored or binary, with one or several certificates. The caller limits its size. */
  readonly certificate: Uint8Array;
  /** A path, or a URL without credentials and query. */
  readonly location: string;
  /** If absent, the keys are trusted for every name. */
  readonly prefix?: string;
  readonly layer: number;
  /** Called with the facts of each key before it is written; a key that is not accepted is declined. Default: all are accepted. */
  readonly accept?: (key: InspectKeyResponse) => boolean | Promise<boolean>;
};

/** The outcome for one certificate of a file: `path` is the new key file; `why` is the reason that it cannot be used. */
export type TrustOutcome =
  | { readonly kind: 'trusted'; readonly path: string; readonly key: InspectKeyResponse }
  | { readonly kind: 'declined'; readonly key: InspectKeyResponse }
  | ({ readonly kind: 'refused' } & RefusedCertificate);

/**
 * Adds the keys of a file to the keystore, each in a file of its own. Keys that cannot verify anything now are added too, with a
 * `fault`: a revoked key must replace its earlier version.
 *
 * @throws KEY_INVALID for a secret key and if no certificate can be used, NAME_INVALID, LIMIT_EXCEEDED, STORE_READ_ONLY,
 * STORE_FULL. Keys that were added before the error stay.
 */
export async function* trustKeys(
  { keystore, pool }: TrustContext,
  { certificate, location, prefix, layer, accept = () => true }: TrustRequest,
): AsyncGenerator<TrustOutcome> {
  if (prefix !== undefined) parseKeyPrefix(prefix);
  const { keys, refused } = await pool.run('inspectKeys', { certificate, location });
  for (const refusal of refused) yield { kind: 'refused', ...refusal };
  for (const { certificate: own, ...key } of keys) {
    if (!(await accept(key))) {
      yield { kind: 'declined', key };
      continue;
    }
    const place = { fingerprint: key.fingerprint, layer, ...(prefix !== undefined && { prefix }) };
    yield { kind: 'trusted', path: await keystore.add({ certificate: own, ...place }), key };
  }
}

/**
 * Writes a key file or a mask atomically and syncs it. Directories get mode 0755 and the file 0644, whatever the umask, since other
 * users read keys too.
 *
 * @throws STORE_FULL, STORE_READ_ONLY or FILE_UNREADABLE.
 */
export async function writeKey(path: string, content: Uint8Array): Promise<void> {
  const directory = dirname(path);
  const temporary = join(directory, `.${randomBytes(8).toString('hex')}.tmp`);
  try {
    await makeDirectory(directory);
    await using file = await open(temporary, 'wx', 0o600);
    await file.writeFile(content);
    await file.chmod(0o644);
    await file.sync();
    await rename(temporary, path);
    await syncDirectory(directory);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined); // it may not exist
    throw writeError(error, path);
  }
}

/** Makes the missing directories of a path, and syncs the parent of each. */
async function makeDirectory(path: string): Promise<void> {
  const first = await makeDirectories(path, 0o755);
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) {
    await chmod(made, 0o755);
    await syncDirectory(dirname(made));
  }
}

type KeyRemoval = {
  readonly fingerprint: string;
  readonly prefix: string | undefined;
  /** The layer that a mask is written to. The first layer, the system's, is changed only if it is this one. */
  readonly layer: number;
};

/**
 * Removes a key: deletes its file in `layer` and in every other layer except the system's, where the files can be deleted. If an
 * earlier layer still has the key, it is masked.
 *
 * @returns false if there was no such key.
 * @throws STORE_READ_ONLY and others of writeError if the key would still be trusted.
 */
export async function removeKey(dirs: readonly string[], { fingerprint, prefix, layer }: KeyRemoval): Promise<boolean> {
  const paths = dirs.map((dir) => keyPath(dir, prefix, fingerprint));
  let removed = false;
  let isTrusted = false;
  for (const [index, path] of paths.entries()) {
    const size = await sizeOf(path);
    if (size === undefined) continue;
    if (size > 0 && (index > 0 || index === layer)) {
      if (await remove(path, index >= layer)) {
        removed = true;
        continue;
      }
    }
    isTrusted = size > 0;
  }
  const target = paths[layer];
  if (isTrusted && target !== undefined) await writeKey(target, new Uint8Array());
  return removed || isTrusted;
}

/** @returns undefined if there is no file. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isNoEntry(error)) return undefined;
    throw writeError(error, path);
  }
}

/** @param isNeeded - false if the file may stay, since a later layer masks it. @returns false if it stays. */
async function remove(path: string, isNeeded: boolean): Promise<boolean> {
  try {
    await unlink(path);
    await syncDirectory(dirname(path));
    return true;
  } catch (error) {
    if (isNeeded) throw writeError(error, path);
    return false;
  }
}
