import { isIPv4 } from 'node:net';

import { ImageError } from '../errors.ts';
import { isRegistryHost, isRepository } from '../image/registry-reference.ts';
import { show } from '../image/show.ts';
import type { Mirror, MirrorRule, RegistryOptions } from './types.ts';

/** Where the content of a repository may be had. */
export type Place = {
  /** What its credentials are looked up by: the registry as references name it, or the host of a mirror. */
  readonly host: string;
  /** What the repository is called there. */
  readonly repository: string;
  /** Origins to try, https first. */
  readonly origins: readonly string[];
  /** After every URL: empty, or a query. */
  readonly query: string;
  readonly isMirror: boolean;
};

export type Asked = {
  readonly host: string;
  readonly repository: string;
  /** Of the reference, where it has one: some mirrors are asked for such references only, some for others. */
  readonly digest?: string;
  readonly wanted: 'tag' | 'digest';
};

/** `blocked` is the error for the registry itself, where it may not be asked: its mirrors may be all the same. */
type Places = { readonly places: readonly Place[]; readonly blocked: ImageError | undefined };

type Options = Pick<RegistryOptions, 'mirrors' | 'allowHttp'>;

/**
 * Where to ask for something of a repository: its mirrors, then itself.
 *
 * @throws ImageError CONFIG_INVALID for a rule that cannot be followed: what it is about might not be asked elsewhere.
 * @see containers-registries.conf(5)
 */
export function placesOf(asked: Asked, { mirrors: rules = [], allowHttp }: Options): Places {
  const { host, repository } = asked;
  const fitting = ruleFor(rules, `${host}/${repository}`);
  if (!fitting) return { places: [originalPlace({ host, repository }, allowHttp)], blocked: undefined };
  const { rule, rest } = fitting;
  if (rule.fault !== undefined) throw unusable(rule, rule.fault);
  const isBlocked = (place: Place) => ruleFor(rules, `${place.host}/${place.repository}`)?.rule.blocked ?? false;
  const mirrored = rule.mirrors
    .filter((mirror) => isFor(mirror, asked))
    .map((mirror) => mirrorPlace(mirror, rewritten(rule, locationOf(mirror), rest), host));
  const there = rule.location === undefined ? { host, repository } : rewritten(rule, rule.location, rest);
  const original = originalPlace(there, allowHttp || (rule.insecure ?? false));
  const usable = mirrored.filter((place) => !isBlocked(place));
  if (!rule.blocked && !isBlocked(original)) return { places: [...usable, original], blocked: undefined };
  const what = rule.blocked ? rule.prefix : original.host;
  const blocked = new ImageError('INSECURE_REFUSED', `the registry ${show(what)} is blocked`, { what: host });
  return { places: usable, blocked };
}

function isFor({ resolves, only }: Mirror, { digest, wanted }: Asked): boolean {
  if (only !== undefined && (only === 'digests') !== (digest !== undefined)) return false;
  return resolves || wanted === 'digest';
}

type There = Pick<Place, 'host' | 'repository'>;

/** @param location - `host[:port][/path]` that takes the place of the prefix. @throws ImageError CONFIG_INVALID */
function rewritten(rule: MirrorRule, location: string, rest: string): There {
  const name = location + rest;
  const slash = name.indexOf('/');
  const [host, repository] = slash === -1 ? [name, ''] : [name.slice(0, slash), name.slice(slash + 1)];
  if (isRegistryHost(host) && isRepository(repository)) return { host, repository };
  throw unusable(rule, `"${show(name)}", to which its location leads, is not the name of a repository`);
}

function unusable({ prefix, source }: MirrorRule, fault: string): ImageError {
  const about = `the rule for ${show(prefix)}: ${fault}`;
  if (source === undefined) return new ImageError('USAGE', `--mirror: ${about}`, { option: '--mirror' });
  return new ImageError('CONFIG_INVALID', `"${show(source, 1000)}": ${about}`, { path: source });
}

function locationOf({ origin, prefix = '' }: Mirror): string {
  return hostOf(origin) + (prefix === '' ? '' : `/${prefix}`);
}

function hostOf(origin: string): string {
  return origin.replace(/^https?:\/\//, '');
}

function mirrorPlace({ origin, insecure = false }: Mirror, there: There, asked: string): Place {
  const isHttp = origin.startsWith('http:');
  const server = serverOf(there.host);
  const origins = isHttp ? [`http://${server}`] : [`https://${server}`, ...(insecure ? [`http://${server}`] : [])];
  return { ...there, origins, query: `?ns=${encodeURIComponent(asked)}`, isMirror: true };
}

function originalPlace(there: There, allowHttp: boolean): Place {
  const server = serverOf(there.host);
  const origins = [`https://${server}`, ...(allowHttp || isLoopback(server) ? [`http://${server}`] : [])];
  return { ...there, origins, query: '', isMirror: false };
}

function serverOf(host: string): string {
  return host === 'docker.io' ? 'registry-1.docker.io' : host;
}

/** @param host - `host[:port]` */
export function isLoopback(host: string): boolean {
  const { hostname } = new URL(`http://${host}`);
  return hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'));
}

/** A rule that fits, and what follows its prefix in the name: empty, `/app`, or `:5000/app` where only the port does. */
type FittingRule = { readonly rule: MirrorRule; readonly rest: string };

/**
 * The rule with the longest prefix that a repository lies under; the first of equals. Tags and digests do not matter.
 *
 * @param name - `host[:port]/repository`
 * @see containers-registries.conf(5)
 */
export function ruleFor(rules: readonly MirrorRule[], name: string): FittingRule | undefined {
  let best: FittingRule | undefined;
  for (const rule of rules) {
    const length = matchingLength(rule, name);
    if (length === undefined) continue;
    if (!best || rule.prefix.length > best.rule.prefix.length) best = { rule, rest: name.slice(length) };
  }
  return best;
}

/** True for a host that a prefix is about. `*.example.com` is every host below example.com, and not that itself. */
export function isHostOf(rule: Pick<MirrorRule, 'prefix' | 'source'>, host: string): boolean {
  const [named = ''] = rule.prefix.split('/', 1);
  return matchingLength({ ...rule, prefix: named }, host) !== undefined;
}

/** In a file, a host without a port stands for it with any port too, as programs read it that use such files. */
function matchingLength({ prefix, source }: Pick<MirrorRule, 'prefix' | 'source'>, name: string): number | undefined {
  const [host = ''] = name.split('/', 1);
  const hasPort = /:\d+$/.test(host);
  if (prefix.startsWith('*.')) {
    const hostname = host.replace(/:\d+$/, '');
    return hostname.endsWith(prefix.slice(1)) ? hostname.length : undefined;
  }
  if (!name.startsWith(prefix)) return undefined;
  const next = name[prefix.length];
  const isPort = hasPort && next === ':' && source !== undefined;
  return next === undefined || next === '/' || isPort ? prefix.length : undefined;
}
