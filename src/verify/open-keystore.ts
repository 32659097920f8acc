import { closedError } from '../errors.ts';
import { withParents } from '../image/ac-identifier.ts';
import { show } from '../image/show.ts';
import { parseIdentity } from '../image/sigstore/identity.ts';
import { debugLog } from '../system/debug.ts';
import {
  type KeyContent,
  type KeyDirectory,
  keyPath,
  listKeyFiles,
  maxParts,
  parseFingerprint,
  parseKeyPrefix,
  parseTrustName,
  prefixDirectory,
  readKeyDirectory,
  readTrustedRoot,
  rootDirectory,
  storedForms,
} from './key-directory.ts';
import type { Keyring, Keystore, KeystoreOptions } from './keystore.ts';
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
export function openKeystore({ dirs, trustedRoot, onWarning = () => undefined }: KeystoreOptions): Promise<Keystore> {
  const warned = new Set<string>();
  const warn = (path: string, why: string): void => {
    debug(() => `skipped ${show(path, 4096)}: ${show(why, 4096)}`);
    if (!warned.has(path)) onWarning(`trusted key file skipped: ${show(path, 4096)}: ${show(why, 4096)}`);
    warned.add(path);
  };
  const directories = createFreshCache(freshMs, (path) => readKeyDirectory(path, warn));
  const roots = createFreshCache(freshMs, () => readTrustedRoot(dirs, trustedRoot));
  const keysFor = (name: string) => afterReading(directories, effectiveKeys(dirs, parseTrustName(name)));
  let isClosed = false;
  const requireOpen = (): void => {
    if (isClosed) throw closedError('keystore');
  };
  const keyringFor = async (name: string): Promise<Keyring> => {
    requireOpen();
    const keys = (await keysFor(name)).map(({ fingerprint, content: { kind, certificate, path } }) => ({
      kind,
      fingerprint,
      certificate,
      path,
    }));
    debug(
      () => `${show(name)}: ${keys.length} trusted keys${keys.map(({ fingerprint }) => ` ${fingerprint}`).join(',')}`,
    );
    return { keys, searched: ['root', ...searchedPrefixes(name)] };
  };
  const close = (): Promise<void> => {
    isClosed = true;
    return Promise.resolve();
  };

  return Promise.resolve({
    dirs,
    keyring: keyringFor,
    async commonKeyring() {
      requireOpen();
      for (const dir of dirs) if ((await directories.get(prefixDirectory(dir))).children.size > 0) return undefined;
      return keyringFor(anyName);
    },
    async hasPrefixKey(name) {
      requireOpen();
      return (await keysFor(name)).some(({ prefix, content }) => prefix !== undefined && content.kind === 'openpgp');
    },
    async trustedRoot() {
      requireOpen();
      return roots.get('');
    },
    async trusts(name, signers) {
      requireOpen();
      return afterReading(directories, hasEffectiveKey(dirs, parseTrustName(name), signers));
    },
    trustsAtOnce(name, signers) {
      if (isClosed) return undefined;
      const looked = hasEffectiveKey(dirs, parseTrustName(name), signers)(directories.peek);
      return 'value' in looked ? looked.value : undefined;
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
      const place = parsePlace(prefix);
      const prefixes = place === undefined ? [undefined] : storedForms(place);
      let removed = false;
      try {
        for (const one of prefixes) {
          const key = { fingerprint: parseFingerprint(fingerprint), prefix: one, layer };
          if (await removeKey(dirs, key)) removed = true;
        }
        return removed;
      } finally {
        directories.clear();
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  });
}

/** Where no prefix has keys of its own, all names have the same keys. */
const anyName = 'name';

function parsePlace(prefix: string | undefined): string | undefined {
  return prefix === undefined ? undefined : parseKeyPrefix(prefix);
}

function layerOf(dirs: readonly string[], layer: number): string {
  const dir = dirs[layer];
  if (dir === undefined) throw new RangeError(`no layer ${layer}: there are ${dirs.length}`);
  return dir;
}

type EffectiveKey = {
  readonly fingerprint: string;
  /** Undefined for root keys. */
  readonly prefix: string | undefined;
  readonly content: Exclude<KeyContent, { kind: 'mask' }>;
};

/** The prefixes of a name that keys may be stored under, the shortest first. */
export function searchedPrefixes(name: string): readonly string[] {
  return withParents(name).toReversed().slice(0, maxParts);
}

/** What directories of keys say, or the path of the first one that has to be read for that. */
type Looked<T> = { readonly value: T } | { readonly unread: string };
type Look<T> = (read: (directory: string) => KeyDirectory | undefined) => Looked<T>;

/** Reads directories until all that are needed are there. */
async function afterReading<T>(directories: FreshCache<KeyDirectory>, look: Look<T>): Promise<T> {
  const have = new Map<string, KeyDirectory>();
  for (;;) {
    const looked = look((directory) => have.get(directory) ?? directories.peek(directory));
    if ('value' in looked) return looked.value;
    have.set(looked.unread, await directories.get(looked.unread));
  }
}

/**
 * The key files that are trusted for a name. They are collected layer by layer, in each the root keys first, then those of the
 * name's prefixes, the shortest first. A mask removes the keys with its fingerprint that were collected before it.
 *
 * @see docs/rules.md S2
 */
function effectiveKeys(dirs: readonly string[], name: string): Look<readonly EffectiveKey[]> {
  return (read) => {
    const found = new Map<string, EffectiveKey[]>();
    const unread = visitDirectories(dirs, read, name, (prefix, keys) => {
      for (const [fingerprint, content] of keys) {
        if (content.kind === 'mask') found.delete(fingerprint);
        else found.set(fingerprint, [...(found.get(fingerprint) ?? []), { fingerprint, prefix, content }]);
      }
    });
    return unread === undefined ? { value: Array.from(found.values()).flat() } : { unread };
  };
}

/** Whether one of the signers is trusted for a name: by its key, or by a rule that allows the identity. */
function hasEffectiveKey(dirs: readonly string[], name: string, signers: readonly string[]): Look<boolean> {
  const identities = signers.flatMap((signer) => parseIdentity(signer) ?? []);
  return (read) => {
    const found = new Set<string>();
    const unread = visitDirectories(dirs, read, name, (_, keys) => {
      for (const fingerprint of identities.length > 0 ? keys.keys() : signers) {
        const content = keys.get(fingerprint);
        if (content?.kind === 'mask') found.delete(fingerprint);
        else if (content && isBy(content, fingerprint)) found.add(fingerprint);
      }
    });
    return unread === undefined ? { value: found.size > 0 } : { unread };
  };

  function isBy(content: Exclude<KeyContent, { kind: 'mask' }>, fingerprint: string): boolean {
    if (content.kind !== 'identity') return signers.includes(fingerprint);
    return identities.some((identity) => content.allows(identity));
  }
}

/** @returns the path of the first directory that `read` does not have; undefined when all have been visited */
function visitDirectories(
  dirs: readonly string[],
  read: (directory: string) => KeyDirectory | undefined,
  name: string,
  visit: (prefix: string | undefined, keys: KeyDirectory['keys']) => void,
): string | undefined {
  let unread: string | undefined;
  const open = (path: string): KeyDirectory | undefined => {
    const directory = read(path);
    if (!directory) unread = path;
    return directory;
  };
  const chains = storedForms(name).map(searchedPrefixes);
  for (const dir of dirs) {
    const root = open(rootDirectory(dir));
    const top = root && open(prefixDirectory(dir));
    if (!root || !top) return unread;
    visit(undefined, root.keys);
    for (const prefixes of chains) {
      let parent: KeyDirectory | undefined = top;
      for (const prefix of prefixes) {
        if (!parent.children.has(prefix.slice(prefix.lastIndexOf('/') + 1))) break; // then no longer prefix can exist either
        parent = open(prefixDirectory(dir, prefix));
        if (!parent) return unread;
        visit(prefix, parent.keys);
      }
    }
  }
  return undefined;
}

const maxEntries = 4_096;

/** Caches values for a short time. Calls at the same time share one read. Failures are not cached. */
export type FreshCache<T> = {
  readonly get: (key: string) => Promise<T>;
  /** What `get` would give, if that is known already. */
  readonly peek: (key: string) => T | undefined;
  readonly clear: () => void;
};

export function createFreshCache<T>(
  freshMs: number,
  read: (key: string) => Promise<T>,
  now: () => number = () => performance.now(),
): FreshCache<T> {
  type Entry = { readonly value: Promise<T>; readonly readAtMs: number; known: T | undefined };
  const entries = new Map<string, Entry>();
  const fresh = (key: string): Entry | undefined => {
    const entry = entries.get(key);
    return entry && now() - entry.readAtMs < freshMs ? entry : undefined;
  };
  return {
    get(key) {
      const known = fresh(key);
      if (known) return known.value;
      if (entries.size >= maxEntries) entries.clear();
      const entry: Entry = { value: read(key), readAtMs: now(), known: undefined };
      entries.set(key, entry);
      entry.value.then(
        (value) => (entry.known = value),
        () => {
          if (entries.get(key) === entry) entries.delete(key);
        },
      );
      return entry.value;
    },
    peek: (key) => fresh(key)?.known,
    clear: () => {
      entries.clear();
    },
  };
}
