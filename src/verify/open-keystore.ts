import { parseAcIdentifier } from '../image/ac-identifier.ts';
import { show } from '../image/show.ts';
import { effectiveKeys, hasEffectiveKey, searchedPrefixes } from './effective-keys.ts';
import { createFreshCache } from './fresh-cache.ts';
import { readKeyDirectory } from './key-directory.ts';
import { keyPath, parseFingerprint, parseKeyPrefix } from './key-place.ts';
import type { Keystore, KeystoreOptions } from './keystore.ts';
import { listKeyFiles } from './list-key-files.ts';
import { removeKey } from './remove-key.ts';
import { writeKey } from './write-key.ts';

/** How long a directory counts as it was read: what others change is seen after that, what we change at once. */
const freshMs = 1_000;

/**
 * The trusted keys of several directories. Nothing is read before it is asked for. Certificates are not parsed here:
 * who verifies with one checks that it is the one its file is named by.
 *
 * @see docs/rules.md S2
 */
export function openKeystore({ dirs, onWarning = () => undefined }: KeystoreOptions): Promise<Keystore> {
  const warned = new Set<string>();
  const warn = (path: string, why: string): void => {
    if (!warned.has(path)) onWarning(`trusted key file skipped: ${show(path, 4096)}: ${show(why, 4096)}`);
    warned.add(path);
  };
  const directories = createFreshCache(freshMs, (path) => readKeyDirectory(path, warn));
  const keysFor = (name: string) => effectiveKeys(dirs, directories.get, parseAcIdentifier(name));
  const close = (): Promise<void> => Promise.resolve();

  return Promise.resolve({
    dirs,
    async keyring(name) {
      const keys = (await keysFor(name)).map(({ fingerprint, content: { certificate, path } }) => ({
        fingerprint,
        certificate,
        path,
      }));
      return { keys, searched: ['root', ...searchedPrefixes(name)] };
    },
    async hasPrefixKey(name) {
      return (await keysFor(name)).some(({ prefix }) => prefix !== undefined);
    },
    trusts: (name, fingerprints) => hasEffectiveKey(dirs, directories.get, parseAcIdentifier(name), fingerprints),
    skip: warn,
    list: () => listKeyFiles(dirs, directories.get),
    async add({ certificate, fingerprint, prefix, layer }) {
      const path = keyPath(layerOf(dirs, layer), parsePlace(prefix), parseFingerprint(fingerprint));
      if (certificate.length === 0) throw new Error('an empty certificate would be a mask');
      await writeKey(path, certificate).finally(directories.clear);
      return path;
    },
    async remove({ fingerprint, prefix, layer }) {
      layerOf(dirs, layer);
      const place = { fingerprint: parseFingerprint(fingerprint), prefix: parsePlace(prefix), layer };
      return removeKey(dirs, place).finally(directories.clear);
    },
    close,
    [Symbol.asyncDispose]: close,
  });
}

function parsePlace(prefix: string | undefined): string | undefined {
  return prefix === undefined ? undefined : parseKeyPrefix(prefix);
}

function layerOf(dirs: readonly string[], layer: number): string {
  const dir = dirs[layer];
  if (dir === undefined) throw new RangeError(`no layer ${layer}: there are ${dirs.length}`);
  return dir;
}
