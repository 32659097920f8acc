import { isIPv4 } from 'node:net';

import { ImageError } from '../errors.ts';
import type { MirrorRule, RegistryOptions } from './types.ts';

/** Where the content of a registry may be had. */
export type Place = {
  /** What its credentials are looked up by: the registry as references name it, or the host of a mirror. */
  readonly host: string;
  /** Origins to try, https first. */
  readonly origins: readonly string[];
  /** Before every repository: empty, or a path that ends with a slash. */
  readonly prefix: string;
  /** After every URL: empty, or a query. */
  readonly query: string;
  readonly isMirror: boolean;
};

/**
 * Where to ask for something of a registry: its mirrors, then itself.
 *
 * @throws ImageError INSECURE_REFUSED for a registry that is blocked.
 */
export function placesOf(
  host: string,
  wanted: 'tag' | 'digest',
  { mirrors = [], allowHttp }: Pick<RegistryOptions, 'mirrors' | 'allowHttp'>,
): readonly Place[] {
  const rule = mirrors.find((candidate) => candidate.host === host);
  if (rule?.blocked) throw new ImageError('INSECURE_REFUSED', `the registry ${host} is blocked`, { what: host });
  return [...mirrorsOf(rule, wanted), registryPlace(host, allowHttp)];
}

function mirrorsOf(rule: MirrorRule | undefined, wanted: 'tag' | 'digest'): readonly Place[] {
  if (!rule) return [];
  return rule.mirrors
    .filter(({ resolves }) => resolves || wanted === 'digest')
    .map(({ origin, prefix }) => ({
      host: new URL(origin).host,
      origins: [new URL(origin).origin],
      prefix: prefix === undefined ? '' : `${prefix}/`,
      query: `?ns=${encodeURIComponent(rule.host)}`,
      isMirror: true,
    }));
}

function registryPlace(host: string, allowHttp: boolean): Place {
  const server = host === 'docker.io' ? 'registry-1.docker.io' : host;
  const origins = [`https://${server}`, ...(allowHttp || isLoopback(server) ? [`http://${server}`] : [])];
  return { host, origins, prefix: '', query: '', isMirror: false };
}

function isLoopback(host: string): boolean {
  const { hostname } = new URL(`http://${host}`);
  return hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'));
}
