import { show } from '../image/show.ts';
import { listDirectory, readConfigFile } from './config-file.ts';
import { configInvalid } from './credentials/config-invalid.ts';
import type { Lookasides, SignaturePlace } from './lookaside.ts';
import type { RegistriesD } from './parse-registries-d.ts';

export type LookasideSources = {
  /** Directories such as /etc/containers/registries.d, the user's own first: only the first that is there counts. */
  readonly registriesD: readonly string[];
  /** As in Lookasides. */
  readonly fallback?: string;
};

/**
 * What the files of a registries.d say of where signatures are read. No scope may be spoken of twice, in whatever files.
 *
 * @throws ImageError CONFIG_INVALID naming the file
 * @see containers-registries.d(5)
 */
export async function readLookasides({ registriesD, fallback }: LookasideSources): Promise<Lookasides> {
  const scopes = new Map<string, SignaturePlace | undefined>();
  let others: RegistriesD['others'];
  for (const path of await filesOf(registriesD)) {
    // A parser and its checks are loaded only where there is something to parse.
    const { parseRegistriesD } = await import('./parse-registries-d.ts');
    const file = parseRegistriesD(await readConfigFile(path), path);
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
    const files = await listDirectory(directory);
    if (files) return files.filter((path) => path.endsWith('.yaml'));
  }
  return [];
}

function twice(path: string, scope: string): Error {
  return configInvalid(path, `${show(scope)} is spoken of twice in this directory`);
}
