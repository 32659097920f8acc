import { join } from 'node:path';

import { configInvalid, listConfigDirectory, readConfigFile } from '../image/config-file.ts';
import type { Digest } from '../image/digest.ts';
import type { RegistryReference } from '../image/registry-reference.ts';
import { show } from '../image/show.ts';
import type { RegistriesD, SignaturePlace } from './parse-registries-d.ts';

/** The places that have the signatures of registry images, outside the registries. */
export type Lookasides = {
  /** Places by scope: `example.com`, `example.com/team`, `example.com/team/app:1`, `*.example.com`. */
  readonly scopes: ReadonlyMap<string, SignaturePlace>;
  /** The place for images that are in no scope. */
  readonly others?: SignaturePlace | undefined;
  /** A directory that is used, if it exists, for images without a configured place. */
  readonly fallback?: string | undefined;
};

/** The place of the most specific scope that contains an image. @see containers-registries.d(5) */
export function lookasideFor({ scopes, others }: Lookasides, reference: RegistryReference): SignaturePlace | undefined {
  for (const scope of scopesOf(reference)) {
    const place = scopes.get(scope);
    if (place) return place;
  }
  return others;
}

/**
 * The place of one signature of an image. The host of the repository is not part of it.
 *
 * @param number - counted from 1.
 * @see containers/image, docs/signature-protocols.md
 */
export function signatureAt(place: SignaturePlace, repository: string, digest: Digest, number: number): SignaturePlace {
  const path = `${repository}@${digest.replace(':', '=')}/signature-${number}`;
  return place.kind === 'file'
    ? { kind: 'file', path: join(place.path, path) }
    : { kind: 'url', url: `${place.url}/${path}` };
}

function* scopesOf({ host, repository, tag, digest }: RegistryReference): Generator<string> {
  const name = `${host}/${repository}`;
  if (tag !== undefined) yield `${name}:${tag}`;
  if (digest !== undefined) yield `${name}@${digest}`;
  for (let end = name.length; end > 0; end = name.lastIndexOf('/', end - 1)) yield name.slice(0, end);
  for (let dot = host.indexOf('.'); dot !== -1; dot = host.indexOf('.', dot + 1)) yield `*${host.slice(dot)}`;
}

export type LookasideSources = {
  /** Directories such as /etc/containers/registries.d, the user's own first: only the first that exists is read. */
  readonly registriesD: readonly string[];
  /** The directory `fallback` of Lookasides. */
  readonly fallback?: string;
};

/**
 * Reads the places of signatures from the files of a registries.d directory. A scope may occur only once in all its files.
 *
 * @throws ImageError CONFIG_INVALID naming the file
 * @see containers-registries.d(5)
 */
export async function readLookasides({ registriesD, fallback }: LookasideSources): Promise<Lookasides> {
  const scopes = new Map<string, SignaturePlace | undefined>();
  let others: RegistriesD['others'];
  for (const path of await filesOf(registriesD)) {
    // imported only if there is a file, since the YAML parser takes a while to load
    const { parseRegistriesD } = await import('./parse-registries-d.ts');
    const file = parseRegistriesD((await readConfigFile(path)).toString(), path);
    if (others && file.others) throw twice(path, 'default-docker');
    others ??= file.others;
    for (const [scope, { place }] of file.scopes) {
      if (scopes.has(scope)) throw twice(path, scope);
      scopes.set(scope, place);
    }
  }
  const named = [...scopes].flatMap(([scope, place]) => (place ? [[scope, place] as const] : []));
  return { scopes: new Map(named), others: others?.place, fallback };
}

async function filesOf(directories: readonly string[]): Promise<readonly string[]> {
  for (const directory of directories) {
    const files = await listConfigDirectory(directory);
    if (files) return files.map(({ path }) => path).filter((path) => path.endsWith('.yaml'));
  }
  return [];
}

function twice(path: string, scope: string): Error {
  return configInvalid(path, `${show(scope)} is configured twice in this directory`);
}
