import { sanitizeAcIdentifier } from './ac-identifier.ts';
import type { RegistryReference } from './reference.ts';
import { parseRegistryReference } from './registry-reference.ts';

const scheme = 'docker://';

/**
 * The name for which keys of an image have to be trusted: its own, or for one of a registry that of its repository.
 *
 * @param image - `source` is where it came from.
 */
export function trustName({ name, source }: { readonly name: string; readonly source: string }): string {
  if (!source.startsWith(scheme)) return name;
  try {
    return registryTrustName(parseRegistryReference(source));
  } catch {
    return name; // a store may have been written by another version
  }
}

/** A key file's directory can't be named by a port: `localhost_5000/app` it is, as in names of converted images. */
export function registryTrustName({ host, repository }: Pick<RegistryReference, 'host' | 'repository'>): string {
  return sanitizeAcIdentifier(`${host}/${repository}`);
}
