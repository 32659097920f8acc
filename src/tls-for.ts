import type { NetworkOptions } from './action-options.ts';
import type { TlsMaterial } from './http/types.ts';
import { isHostOf } from './registry/mirror-rule.ts';

const none: TlsMaterial = { ca: [], pairs: [] };

/** What certificates of a registry and the rules for it say of its TLS. */
export function tlsFor({
  certificates,
  mirrors = [],
}: Pick<NetworkOptions, 'certificates' | 'mirrors'>): (host: string) => TlsMaterial | undefined {
  const insecure = mirrors.flatMap(({ insecure, location, prefix, source, mirrors }) => [
    ...(insecure ? [{ prefix: location ?? prefix, ...(source !== undefined && { source }) }] : []),
    ...mirrors.flatMap((mirror) => (mirror.insecure ? [{ prefix: mirror.origin.replace(/^https?:\/\//, '') }] : [])),
  ]);
  return (server) => {
    const host = server === 'registry-1.docker.io' ? 'docker.io' : server; // under which name references have it
    const material = certificates?.get(host);
    return insecure.some((rule) => isHostOf(rule, host)) ? { ...none, ...material, insecure: true } : material;
  };
}
