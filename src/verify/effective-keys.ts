import { withParents } from '../image/name-prefix.ts';
import type { KeyContent, KeyDirectory } from './key-directory.ts';
import { partsMaximum, prefixDirectory, rootDirectory } from './key-place.ts';

export type EffectiveKey = {
  readonly fingerprint: string;
  /** Absent for root keys. */
  readonly prefix: string | undefined;
  readonly content: Extract<KeyContent, { kind: 'certificate' }>;
};

/** The name's prefixes that keys may be stored under, shortest first. */
export function searchedPrefixes(name: string): readonly string[] {
  return withParents(name).toReversed().slice(0, partsMaximum);
}

/**
 * The key files that count for a name. Layer after layer, in each the root keys first and then those of the name's
 * prefixes, shortest first: a mask takes away what has been found under its fingerprint so far.
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

/** Whether one of the fingerprints counts for a name, however many other keys there are. */
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
      if (!parent.children.has(prefix.slice(prefix.lastIndexOf('/') + 1))) break; // nor can anything be below
      parent = await read(prefixDirectory(dir, prefix));
      visit(prefix, parent.keys);
    }
  }
}
