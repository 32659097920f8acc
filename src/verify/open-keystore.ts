import { closedError } from '../errors.ts';
import { parseAcIdentifier, withParents } from '../image/ac-identifier.ts';
import { show } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import {
  type KeyContent,
  type KeyDirectory,
  keyPath,
  listKeyFiles,
  maxParts,
  parseFingerprint,
  parseKeyPrefix,
  prefixDirectory,
  readKeyDirectory,
  rootDirectory,
} from './key-directory.ts';
import type { Keystore, KeystoreOptions } from './keystore.ts';
import { removeKey, writeKey } from './trust.ts';

const debug = debugLog('verify');

/** How long the content of a directory is cached. Changes of this process are seen at once, those of others after this time. */
const freshMs = 1_000;

/**
 * Opens the trusted keys of several directories, which are read when needed. Certificates are not parsed here: the verification
 * checks that each is the one that its file is named by.
 *
 * @see docs/rules.md S2
 */
export function openKeystore({ dirs, onWarning = () => undefined }: KeystoreOptions): Promise<Keystore> {
  const warned = new Set<string>();
  const warn = (path: string, why: string): void => {
    debug(() => `skipped ${show(path, 4096)}: ${show(why, 4096)}`);
    if (!warned.has(path)) onWarning(`trusted key file skipped: ${show(path, 4096)}: ${show(why, 4096)}`);
    warned.add(path);
  };
  const directories = createFreshCache(freshMs, (path) => readKeyDirectory(path, warn));
  const keysFor = (name: string) => effectiveKeys(dirs, directories.get, parseAcIdentifier(name));
  let isClosed = false;
  const requireOpen = (): void => {
    if (isClosed) throw closedError('keystore');
  };
  const close = (): Promise<void> => {
    isClosed = true;
    return Promise.resolve();
  };

  return Promise.resolve({
    dirs,
    async keyring(name) {
      requireOpen();
      const keys = (await keysFor(name)).map(({ fingerprint, content: { certificate, path } }) => ({
        fingerprint,
        certificate,
        path,
      }));
      debug(
        () => `${show(name)}: ${keys.length} trusted keys${keys.map(({ fingerprint }) => ` ${fingerprint}`).join(',')}`,
      );
      return { keys, searched: ['root', ...searchedPrefixes(name)] };
    },
    async hasPrefixKey(name) {
      requireOpen();
      return (await keysFor(name)).some(({ prefix }) => prefix !== undefined);
    },
    async trusts(name, fingerprints) {
      requireOpen();
      return hasEffectiveKey(dirs, directories.get, parseAcIdentifier(name), fingerprints);
    },
    skip(path, why) {
      requireOpen();
      warn(path, why);
    },
    async list() {
      requireOpen();
      return listKeyFiles(dirs, directories.get);
    },
    async add({ certificate, fingerprint, prefix, layer }) {
      requireOpen();
      const path = keyPath(layerOf(dirs, layer), parsePlace(prefix), parseFingerprint(fingerprint));
      if (certificate.length === 0) throw new Error('an empty certificate would be a mask');
      await writeKey(path, certificate).finally(directories.clear);
      return path;
    },
    async remove({ fingerprint, prefix, layer }) {
      requireOpen();
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

export type EffectiveKey = {
  readonly fingerprint: string;
  /** Undefined for root keys. */
  readonly prefix: string | undefined;
  readonly content: Extract<KeyContent, { kind: 'certificate' }>;
};

/** The prefixes of a name that keys may be stored under, the shortest first. */
export function searchedPrefixes(name: string): readonly string[] {
  return withParents(name).toReversed().slice(0, maxParts);
}

/**
 * The key files that are trusted for a name. They are collected layer by layer, in each the root keys first, then those of the
 * name's prefixes, the shortest first. A mask removes the keys with its fingerprint that were collected before it.
 *
 * @see docs/rules.md S2
 */
export async function effectiveKeys(
  dirs: readonly string[],
  read: ReadDirectory,
  name: string,
): Promise<readonly EffectiveKey[]> {
  const found = new Map<string, EffectiveKey[]>();
  await visitDirectories(dirs, read, name, (prefix, keys) => {
    for (const [fingerprint, content] of keys) {
      if (content.kind === 'mask') found.delete(fingerprint);
      else found.set(fingerprint, [...(found.get(fingerprint) ?? []), { fingerprint, prefix, content }]);
    }
  });
  return Array.from(found.values()).flat();
}

/** Whether one of the fingerprints is trusted for a name. */
export async function hasEffectiveKey(
  dirs: readonly string[],
  read: ReadDirectory,
  name: string,
  fingerprints: readonly string[],
): Promise<boolean> {
  const found = new Set<string>();
  await visitDirectories(dirs, read, name, (_, keys) => {
    for (const fingerprint of fingerprints) {
      const content = keys.get(fingerprint);
      if (content?.kind === 'mask') found.delete(fingerprint);
      else if (content) found.add(fingerprint);
    }
  });
  return found.size > 0;
}

type ReadDirectory = (directory: string) => Promise<KeyDirectory>;

async function visitDirectories(
  dirs: readonly string[],
  read: ReadDirectory,
  name: string,
  visit: (prefix: string | undefined, keys: KeyDirectory['keys']) => void,
): Promise<void> {
  const prefixes = searchedPrefixes(name);
  for (const dir of dirs) {
    visit(undefined, (await read(rootDirectory(dir))).keys);
    let parent = await read(prefixDirectory(dir));
    for (const prefix of prefixes) {
      if (!parent.children.has(prefix.slice(prefix.lastIndexOf('/') + 1))) break; // then no longer prefix can exist either
      parent = await read(prefixDirectory(dir, prefix));
      visit(prefix, parent.keys);
    }
  }
}

const maxEntries = 4_096;

/** Caches values for a short time. Calls at the same time share one read. Failures are not cached. */
export type FreshCache<T> = {
  readonly get: (key: string) => Promise<T>;
  readonly clear: () => void;
};

export function createFreshCache<T>(
  freshMs: number,
  read: (key: string) => Promise<T>,
  now: () => number = () => performance.now(),
): FreshCache<T> {
  const entries = new Map<string, { readonly value: Promise<T>; readonly readAtMs: number }>();
  return {
    get(key) {
      const nowMs = now();
      const known = entries.get(key);
      if (known && nowMs - known.readAtMs < freshMs) return known.value;
      if (entries.size >= maxEntries) entries.clear();
      const entry = { value: read(key), readAtMs: nowMs };
      entries.set(key, entry);
      entry.value.catch(() => {
        if (entries.get(key) === entry) entries.delete(key);
      });
      return entry.value;
    },
    clear: () => {
      entries.clear();
    },
  };
}
