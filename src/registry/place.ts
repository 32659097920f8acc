import { isIPv4 } from 'node:net';

import { ImageError, isImageError } from '../errors.ts';
import { isRegistryHost, isRepository } from '../image/registry-reference.ts';
import { show } from '../image/show.ts';
import type { Mirror, MirrorRule, Peer, RegistryOptions } from './types.ts';

/** A registry, a mirror or a peer that may have the content of a repository. */
export type Place = {
  /** The host whose credentials are used: the registry as references name it, the mirror or the peer. */
  readonly host: string;
  /** The name of the repository at this place. */
  readonly repository: string;
  /** The origins to try, https first. */
  readonly origins: readonly string[];
  /** Appended to every URL: a query, or empty. */
  readonly query: string;
  readonly kind: 'registry' | 'mirror' | 'peer';
  /** A redirect of it is not followed: it does not choose what else this machine asks. */
  readonly refusesRedirects?: boolean;
};

export type ContentRequest = {
  readonly host: string;
  readonly repository: string;
  /** The digest of the reference, if it has one: some mirrors are used only for references with a digest, some only for others. */
  readonly digest?: string;
  readonly namedBy: 'tag' | 'digest';
};

/** `blocked` is the error if the registry itself must not be asked; its mirrors may still be. */
type Places = { readonly places: readonly Place[]; readonly blocked: ImageError | undefined };

type Options = Pick<RegistryOptions, 'mirrors' | 'allowHttp'>;

/**
 * The places that may have the content: the mirrors of the repository, then its registry.
 *
 * @throws ImageError CONFIG_INVALID for an invalid rule: its repositories are not requested elsewhere, since that may be against
 * the intention of the rule.
 * @see containers-registries.conf(5)
 */
export function placesOf(asked: ContentRequest, { mirrors: rules = [], allowHttp }: Options): Places {
  const { host, repository } = asked;
  const match = ruleFor(rules, `${host}/${repository}`);
  if (!match) return { places: [originalPlace({ host, repository }, allowHttp)], blocked: undefined };
  const { rule, rest } = match;
  if (rule.fault !== undefined) throw ruleError(rule, rule.fault);
  const isBlocked = (place: Place) => ruleFor(rules, `${place.host}/${place.repository}`)?.rule.blocked ?? false;
  const mirrored = rule.mirrors
    .filter((mirror) => mayServe(mirror, asked))
    .map((mirror) => mirrorPlace(mirror, replacePrefix(rule, locationOf(mirror), rest), host));
  const there = rule.location === undefined ? { host, repository } : replacePrefix(rule, rule.location, rest);
  const original = originalPlace(there, allowHttp || (rule.insecure ?? false));
  const usable = mirrored.filter((place) => !isBlocked(place));
  if (!rule.blocked && !isBlocked(original)) return { places: [...usable, original], blocked: undefined };
  const what = rule.blocked ? rule.prefix : original.host;
  const blocked = new ImageError('INSECURE_REFUSED', `the registry ${show(what)} is blocked`, { what: host });
  return { places: usable, blocked };
}

/**
 * The place that a repository is pushed to: the registry itself, under its own name.
 *
 * @throws ImageError INSECURE_REFUSED if it is blocked; CONFIG_INVALID
 */
export function pushPlaceOf(there: RepositoryName, { mirrors: rules = [], allowHttp }: Options): Place {
  const rule = ruleFor(rules, `${there.host}/${there.repository}`)?.rule;
  if (rule?.fault !== undefined) throw ruleError(rule, rule.fault);
  if (rule?.blocked) {
    const message = `the registry ${show(rule.prefix)} is blocked`;
    throw new ImageError('INSECURE_REFUSED', message, { what: there.host });
  }
  return originalPlace(there, allowHttp || (rule?.insecure ?? false));
}

function mayServe({ resolves, only }: Mirror, { digest, namedBy: wanted }: ContentRequest): boolean {
  if (only !== undefined && (only === 'digests') !== (digest !== undefined)) return false;
  return resolves || wanted === 'digest';
}

type RepositoryName = Pick<Place, 'host' | 'repository'>;

/** Replaces the prefix of a rule. @param location - the replacement, `host[:port][/path]`. @throws ImageError CONFIG_INVALID */
function replacePrefix(rule: MirrorRule, location: string, rest: string): RepositoryName {
  const name = location + rest;
  const slash = name.indexOf('/');
  const [host, repository] = slash === -1 ? [name, ''] : [name.slice(0, slash), name.slice(slash + 1)];
  if (isRegistryHost(host) && isRepository(repository)) return { host, repository };
  throw ruleError(rule, `"${show(name)}", to which its location leads, is not the name of a repository`);
}

function ruleError({ prefix, source }: MirrorRule, fault: string): ImageError {
  const about = `the rule for ${show(prefix)}: ${fault}`;
  if (source === undefined) return new ImageError('USAGE', `mirrors: ${about}`, { option: 'mirrors' });
  return new ImageError('CONFIG_INVALID', `"${show(source, 1000)}": ${about}`, { path: source });
}

function locationOf({ origin, prefix = '' }: Mirror): string {
  return hostOf(origin) + (prefix === '' ? '' : `/${prefix}`);
}

function hostOf(origin: string): string {
  return origin.replace(/^https?:\/\//, '');
}

function mirrorPlace({ origin, insecure = false }: Mirror, there: RepositoryName, asked: string): Place {
  const isHttp = origin.startsWith('http:');
  const server = serverOf(there.host);
  const [https, http] = [originOf('https', server), originOf('http', server)];
  const origins = isHttp ? [http] : [https, ...(insecure ? [http] : [])];
  return { ...there, origins, query: `?ns=${encodeURIComponent(asked)}`, kind: 'mirror' };
}

export function peerPlace({ host, repository, origin }: Peer, allowHttp: boolean): Place {
  const place = originalPlace({ host, repository }, allowHttp);
  return { ...place, ...(origin !== undefined && { origins: [origin], refusesRedirects: true }), kind: 'peer' };
}

/** The failure where only peers may be asked, and none of them is. */
export function noPeer(host: string): ImageError<'NETWORK'> {
  return new ImageError('NETWORK', 'no peer is asked at the moment', { url: `https://${host}/` });
}

/** How a place is called in messages. */
export function showPlace({ kind, host }: Pick<Place, 'kind' | 'host'>): string {
  return `the ${kind} ${show(host)}`;
}

/** What is to be said of a mirror or a peer that has failed: nothing where it only lacks what it was asked for. */
export function faultOf(place: Pick<Place, 'kind' | 'host'>, path: string, error: unknown): string | undefined {
  if (!isImageError(error)) return undefined;
  if (['DIGEST_MISMATCH', 'SIZE_MISMATCH', 'MANIFEST_INVALID'].includes(error.code))
    return `${showPlace(place)} has other content for ${path}: ${error.message}`;
  if (place.kind !== 'peer' || !['AUTH_DENIED', 'AUTH_REQUIRED'].includes(error.code)) return undefined;
  return `${showPlace(place)} refuses the password by which this machine asks it`;
}

function originalPlace(there: RepositoryName, allowHttp: boolean): Place {
  const server = serverOf(there.host);
  const origins = [originOf('https', server), ...(allowHttp || isLoopback(server) ? [originOf('http', server)] : [])];
  return { ...there, origins, query: '', kind: 'registry' };
}

/** As URLs have it, with which answers are compared: without the usual port, in small letters. */
function originOf(scheme: string, server: string): string {
  const origin = `${scheme}://${server}`;
  return ownName.test(server) ? origin : (URL.parse(origin)?.origin ?? origin);
}

function serverOf(host: string): string {
  return host === 'docker.io' ? 'registry-1.docker.io' : host;
}

/** @param host - `host[:port]` */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d*$/, '');
  if (isLoopbackName(name)) return true;
  if (ownName.test(name)) return false;
  const { hostname = '' } = URL.parse(`http://${host}`) ?? {};
  return isLoopbackName(hostname.replace(/^\[(.*)\]$/, '$1'));
}

/** A name that the parser of URLs leaves as it is: its last label is none of an address. */
const ownName = /^(?:[a-z0-9-]+\.)*[a-z][a-z0-9-]*$/;

/** @param name - of a host, or its address without brackets. What a name below `localhost` stands for, a resolver decides. */
export function isLoopbackName(name: string): boolean {
  return name === 'localhost' || name === '::1' || (isIPv4(name) && name.startsWith('127.'));
}

/** A matching rule, and the rest of the name after its prefix: empty, `/app`, or `:5000/app` for a prefix without the port. */
type RuleMatch = { readonly rule: MirrorRule; readonly rest: string };

/**
 * The rule with the longest prefix that matches a repository; the first of several.
 *
 * @param name - `host[:port]/repository`
 * @see containers-registries.conf(5)
 */
export function ruleFor(rules: readonly MirrorRule[], name: string): RuleMatch | undefined {
  let best: RuleMatch | undefined;
  for (const rule of rules) {
    const length = matchingLength(rule, name);
    if (length === undefined) continue;
    if (!best || rule.prefix.length > best.rule.prefix.length) best = { rule, rest: name.slice(length) };
  }
  return best;
}

/** Whether the host of a prefix matches. `*.example.com` matches every subdomain of example.com, but not example.com itself. */
export function isHostOf(rule: Pick<MirrorRule, 'prefix' | 'source'>, host: string): boolean {
  const [named = ''] = rule.prefix.split('/', 1);
  return matchingLength({ ...rule, prefix: named }, host) !== undefined;
}

/** The length of the part of a name that a prefix matches. In registries.conf a host without a port matches any port. */
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
