import { isIPv4 } from 'node:net';

import { ImageError } from '../errors.ts';
import { ruleFor, type FittingRule } from './mirror-rule.ts';
import type { MirrorRule, RegistryOptions } from './types.ts';

/** Where the content of a registry may be had. */
export type Place = {
  /** What its credentials are looked up by: the registry as references name it, or the host of a mirror. */
  readonly host: string;
  /** Origins to try, https first. */
  readonly origins: readonly string[];
  /** What stands before every repository there, in the place of `cut`; either may be empty. */
  readonly prefix: string;
  readonly cut: string;
  /** After every URL: empty, or a query. */
  readonly query: string;
  readonly isMirror: boolean;
};

export type Asked = {
  readonly host: string;
  readonly repository: string;
  readonly wanted: 'tag' | 'digest';
};

/**
 * Where to ask for something of a repository: its mirrors, then itself.
 *
 * @throws ImageError INSECURE_REFUSED for one that is blocked.
 */
export function placesOf(
  { host, repository, wanted }: Asked,
  { mirrors = [], allowHttp }: Pick<RegistryOptions, 'mirrors' | 'allowHttp'>,
): readonly Place[] {
  const fitting = ruleFor(mirrors, host, repository);
  if (!fitting) return [originalPlace({ host, path: '', cut: '' }, allowHttp)];
  const { rule, cut } = fitting;
  if (rule.blocked) throw new ImageError('INSECURE_REFUSED', `the registry ${rule.prefix} is blocked`, { what: host });
  const mirrored = mirrorsOf(fitting, host, wanted);
  return [...mirrored, originalPlace(locationOf(rule, host, cut), allowHttp || (rule.insecure ?? false))];
}

/** What a repository of the registry is called there. */
export function repositoryAt({ prefix, cut }: Pick<Place, 'prefix' | 'cut'>, repository: string): string {
  const rest = cut === '' ? `/${repository}` : repository.slice(cut.length);
  return (prefix + rest).replace(/^\//, '');
}

function mirrorsOf({ rule, cut }: FittingRule, host: string, wanted: Asked['wanted']): readonly Place[] {
  return rule.mirrors
    .filter(({ resolves }) => resolves || wanted === 'digest')
    .map(({ origin, prefix = '', insecure = false }) => {
      const url = new URL(origin);
      const origins = [url.origin, ...(insecure && url.protocol === 'https:' ? [`http://${url.host}`] : [])];
      return { host: url.host, origins, prefix, cut, query: `?ns=${encodeURIComponent(host)}`, isMirror: true };
    });
}

type Location = { readonly host: string; readonly path: string; readonly cut: string };

function locationOf({ location }: MirrorRule, host: string, cut: string): Location {
  if (location === undefined) return { host, path: '', cut: '' };
  const slash = location.indexOf('/');
  if (slash === -1) return { host: location, path: '', cut };
  return { host: location.slice(0, slash), path: location.slice(slash + 1), cut };
}

function originalPlace({ host, path, cut }: Location, allowHttp: boolean): Place {
  const server = host === 'docker.io' ? 'registry-1.docker.io' : host;
  const origins = [`https://${server}`, ...(allowHttp || isLoopback(server) ? [`http://${server}`] : [])];
  return { host, origins, prefix: path, cut, query: '', isMirror: false };
}

/** @param host - `host[:port]` */
export function isLoopback(host: string): boolean {
  const { hostname } = new URL(`http://${host}`);
  return hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'));
}
