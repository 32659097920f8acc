import { sanitizeAcIdentifier } from './ac-identifier.ts';
import type { RegistryReference } from './reference.ts';

/** The host that images of a registry bear in their names, as rkt gave them: Docker Hub's is the one that serves it. */
export function registryIndexName(host: string): string {
  return host === 'docker.io' ? 'registry-1.docker.io' : host;
}

/** The name of the image that a registry's image is converted to, such as `registry-1.docker.io/library/redis`. */
export function registryImageName({ host, repository }: Pick<RegistryReference, 'host' | 'repository'>): string {
  return sanitizeAcIdentifier(`${registryIndexName(host)}/${repository}`);
}
