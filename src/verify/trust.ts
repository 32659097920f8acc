import { randomBytes } from 'node:crypto';
import { chmod, open, rename, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import type { Pool } from '../pool/pool.ts';
import type { InspectKeyResponse, RefusedCertificate } from '../../workers/tasks.ts';
import { parseKeyPrefix, keyPath } from './key-directory.ts';
import type { Keystore } from './keystore.ts';
import { makeDirectories } from '../system/files.ts';
import { isNoEntry } from '../system/errno.ts';
import { writeError } from '../image/file-error.ts';
import { syncDirectory } from '../system/write-files.ts';

export type TrustContext = { readonly keystore: Keystore; readonly pool: Pick<Pool, 'run'> };

type TrustRequest = {
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

/**
 * Writes a key file or a mask so that it is there whole or not at all, and stays there. Directories get mode 0755 and
 * the file 0644, whatever the umask: keys are read by other users.
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
    await rm(temporary, { force: true }).catch(() => undefined); // it may never have been there
    throw writeError(error, path);
  }
}

/** Makes what is missing of a path, and syncs each name that is new. */
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
  /** The layer that is written; the first one, the system's, is touched only when it is this one. */
  readonly layer: number;
};

/**
 * Takes a key away from where it was put: its file is removed in `layer` and in every other layer but the system's, as
 * far as they can be written, and what is left in an earlier one is masked.
 *
 * @returns false when there was nothing to take away.
 * @throws STORE_READ_ONLY and others of writeError, when it would still be trusted.
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

/** @returns undefined when there is no file. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isNoEntry(error)) return undefined;
    throw writeError(error, path);
  }
}

/** @returns false when it stays and need not go: a mask in a later layer hides it. */
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
