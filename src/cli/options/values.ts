import { isIP } from 'node:net';

import {
  defaultLimits,
  defaultTimeouts,
  type Insecure,
  isAcIdentifier,
  type Limits,
  type MirrorRule,
  show,
  showReference,
  type Timeouts,
} from '../../internal.ts';
import { usageError } from './option.ts';
import { didYouMean } from './suggestion.ts';

/** Splits `NAME=VALUE` at the first `=`. @throws USAGE */
function splitNamedValue(text: string, option: string): { readonly name: string; readonly value: string } {
  const at = text.indexOf('=');
  if (at < 1) throw usageError(`want NAME=VALUE, got "${showReference(text)}"`, option);
  return { name: text.slice(0, at), value: text.slice(at + 1) };
}

/** `registryManifest` → `registry-manifest`: the form that options have for names in camel case. */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

type Parse = (text: string, option: string) => number;

/** `--limit NAME=VALUE`, any number of times; the last value of a name counts. @throws USAGE */
export function parseLimits(texts: readonly string[], option: string): Partial<Limits> {
  return parseNamed(texts, option, defaultLimits, (name) => (name === 'retryAfter' ? parseTime : parseSize));
}

/** `--timeout NAME=TIME`, any number of times; the last value of a name counts. @throws USAGE */
export function parseTimeouts(texts: readonly string[], option: string): Partial<Timeouts> {
  return parseNamed(texts, option, defaultTimeouts, () => parseTime);
}

function parseNamed<K extends string>(
  texts: readonly string[],
  option: string,
  known: Readonly<Record<K, number>>,
  parserOf: (name: K) => Parse,
): Partial<Record<K, number>> {
  const names = new Map(keysOf(known).map((name) => [kebab(name), name]));
  const values: Partial<Record<K, number>> = {};
  for (const text of texts) {
    const { name, value } = splitNamedValue(text, option);
    const key = names.get(name);
    if (key === undefined) {
      const near = didYouMean(name, names.keys());
      throw usageError(`no such name "${show(name)}"; there are ${[...names.keys()].join(', ')}${near}`, option);
    }
    values[key] = parserOf(key)(value, `${option} ${name}`);
  }
  return values;
}

// Object.keys loses the type of the keys; the tables here have exactly these.
function keysOf<K extends string>(record: Readonly<Record<K, unknown>>): readonly K[] {
  return Object.keys(record) as K[];
}

/** An IPv4 or IPv6 CIDR block; an address alone is a block of one. @returns `ADDRESS/LENGTH`. @throws USAGE */
export function parseCidr(text: string, option: string): string {
  const [, address = '', length] = /^([^/%]+)(?:\/([0-9]{1,3}))?$/.exec(text) ?? [];
  const bits = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  const prefix = length === undefined ? bits : Number(length);
  if (bits < 0 || prefix > bits) {
    throw usageError(`want an address block such as 10.0.0.0/8 or fd00::/8, got "${showReference(text)}"`, option);
  }
  return `${address}/${prefix}`;
}

const part = String.raw`(?:\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]*)`;
const port = '[0-9]{0,5}';
const form = new RegExp(`^${part}:(${port}):${part}:(${port})$`);

/**
 * `HOST:PORT:ADDRESS:PORT`: connections to the first pair go to the second instead. An empty part of the first pair
 * matches every host or port, an empty part of the second keeps the original one. IPv6 addresses are in brackets.
 *
 * @returns the text, which is well-formed. @throws USAGE
 * @see curl(1) --connect-to
 */
export function parseConnectTo(text: string, option: string): string {
  const ports = form.exec(text)?.slice(1);
  if (ports === undefined || ports.some((digits) => Number(digits) > 65_535)) {
    throw usageError(`want HOST:PORT:ADDRESS:PORT, got "${showReference(text)}"`, option);
  }
  return text;
}

/** Parses an integer of `least` or more. @throws USAGE */
export function parseCount(text: string, option: string, least = 1, or = ''): number {
  const count = /^[0-9]{1,9}$/.test(text) ? Number(text) : NaN;
  if (!(count >= least)) throw usageError(`want ${or}a whole number from ${least}, got "${show(text)}"`, option);
  return count;
}

/** `auto`, or an integer of 1 or more. @throws USAGE */
export function parseCountOrAuto(text: string, option: string): number | 'auto' {
  return text === 'auto' ? text : parseCount(text, option, 1, '"auto" or ');
}

export type DiscoverRule = { readonly prefix: string; readonly origin: string };

/** `PREFIX=ORIGIN`, any number of times; the last value of a prefix counts. @throws USAGE */
export function parseDiscover(texts: readonly string[], option: string): readonly DiscoverRule[] {
  const rules = new Map<string, DiscoverRule>();
  for (const text of texts) {
    const { name, value } = splitNamedValue(text, option);
    const rule = discoverRule(name, value, (problem) => usageError(problem, option));
    rules.set(rule.prefix, rule);
  }
  return [...rules.values()];
}

/** Checks a rule from any source; `refuse` makes the error. */
export function discoverRule(prefix: string, origin: string, refuse: (problem: string) => Error): DiscoverRule {
  if (!isAcIdentifier(prefix)) throw refuse(`"${showReference(prefix)}" is not a prefix of image names`);
  const url = URL.parse(origin);
  const isOrigin = url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`;
  if (!isOrigin) throw refuse(`want an origin such as https://mirror.lan:8443 for "${prefix}"`);
  return { prefix, origin: url.origin };
}

/** The checks that each word disables. rkt uses `ondisk` when it runs images; here it is accepted without effect. */
const words: Readonly<Record<string, Insecure>> = {
  none: {},
  image: { image: true },
  tls: { tls: true },
  http: { http: true },
  pubkey: { pubkey: true },
  'weak-keys': { weakKeys: true },
  ondisk: {},
  all: { image: true, tls: true, http: true, pubkey: true, weakKeys: true },
};

/**
 * Parses words separated by commas, in any case; an empty text disables nothing. @throws USAGE for unknown and repeated
 * ones.
 */
export function parseInsecureOptions(text: string, option: string): Insecure {
  const asked = text === '' ? [] : text.toLowerCase().split(',');
  const seen = new Set<string>();
  for (const word of asked) {
    if (!Object.hasOwn(words, word)) {
      const known = Object.keys(words);
      throw usageError(
        `unknown option "${show(word)}"; there are ${known.join(', ')}${didYouMean(word, known)}`,
        option,
      );
    }
    if (seen.has(word)) throw usageError(`duplicated option "${word}"`, option);
    seen.add(word);
  }
  return Object.assign({}, ...asked.map((word) => words[word])) as Insecure; // the type of a spread argument is lost
}

const prefixForm = /^[a-z0-9.-]+(?::\d+)?(?:\/[a-z0-9._-]+)*$/;

/**
 * `HOST=ORIGIN`, any number of times: a mirror of a registry or of a namespace in it, optionally with how it handles
 * tags. Several are tried in order.
 *
 * @throws USAGE
 */
export function parseMirrors(texts: readonly string[], option: string): readonly MirrorRule[] {
  const rules = new Map<string, MirrorRule>();
  for (const text of texts) {
    const { name: prefix, value } = splitNamedValue(text, option);
    if (!prefixForm.test(prefix))
      throw usageError(`"${showReference(prefix)}" is not a registry, nor a part of one`, option);
    const url = URL.parse(value);
    const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.href === url.origin + url.pathname;
    if (!isPlain) throw usageError(`want an origin such as https://mirror.lan:5000 for ${prefix}`, option);
    const path = url.pathname.replace(/^\/|\/$/g, '');
    const mirror = { origin: url.origin, ...(path !== '' && { prefix: path }), resolves: true };
    rules.set(prefix, { prefix, mirrors: [...(rules.get(prefix)?.mirrors ?? []), mirror] });
  }
  return [...rules.values()];
}

const units: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** Digits with an optional K, M or G, which are powers of 1024: bytes, or bytes a second. @throws USAGE */
export function parseSize(text: string, option: string): number {
  const [, digits, unit = ''] = /^([0-9]+)([KMG]?)$/i.exec(text) ?? [];
  const size = Number(digits) * (units[unit.toUpperCase()] ?? NaN);
  if (!Number.isSafeInteger(size)) {
    throw usageError(`want digits and an optional K, M or G, got "${show(text)}"`, option);
  }
  return size;
}

/** As parseSize, but not 0: with that rate a transfer would never end. @throws USAGE */
export function parseRate(text: string, option: string): number {
  const rate = parseSize(text, option);
  if (rate === 0) throw usageError('a rate of 0 would never end', option);
  return rate;
}

/** `RATE`, or `HOST=RATE`, any number of times; the last value for all, and for a host, counts. @throws USAGE */
export function parseRates(
  texts: readonly string[],
  option: string,
): { readonly limitRate?: number; readonly limitRates?: Readonly<Record<string, number>> } {
  const hosts = new Map<string, number>();
  let all: number | undefined;
  for (const text of texts) {
    const at = text.indexOf('=');
    const host = text.slice(0, Math.max(0, at)).toLowerCase();
    if (at < 0) all = parseRate(text, option);
    else if (!['http', 'https'].some((scheme) => URL.parse(`${scheme}://${host}`)?.host === host)) {
      throw usageError(`want RATE or HOST=RATE, got "${show(text)}"`, option);
    } else hosts.set(host, parseRate(text.slice(at + 1), option));
  }
  return {
    ...(all !== undefined && { limitRate: all }),
    ...(hosts.size > 0 && { limitRates: Object.fromEntries(hosts) }),
  };
}

const timeUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** Timers hold 31 bits; with more they fire at once. */
const longestMs = 2 ** 31 - 1;

const weekMs = 7 * 86_400_000;

/** A time of at most a week, or 0. @throws USAGE */
export function parseAge(text: string, option: string): number {
  return text === '0' ? 0 : parseTime(text, option, weekMs);
}

/** A number with ms, s, m or h. @returns milliseconds, from 1 to `most`. @throws USAGE */
export function parseTime(text: string, option: string, most = longestMs): number {
  const [, digits, unit = ''] = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)$/i.exec(text) ?? [];
  const timeMs = Math.round(Number(digits) * (timeUnits[unit.toLowerCase()] ?? NaN));
  if (!(timeMs >= 1)) throw usageError(`want a number with ms, s, m or h, got "${show(text)}"`, option);
  if (timeMs > most) throw usageError(`"${show(text)}" is over the longest time, ${most} ms`, option);
  return timeMs;
}
