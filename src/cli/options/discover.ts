import { isAcIdentifier, showReference } from '../../index.ts';
import { splitNamedValue } from './named-value.ts';
import { usageError } from './usage-error.ts';

export type DiscoverRule = { readonly prefix: string; readonly origin: string };

/** `PREFIX=ORIGIN`, given any number of times; the last value of a prefix wins. @throws USAGE */
export function parseDiscover(texts: readonly string[], option: string): readonly DiscoverRule[] {
  const rules = new Map<string, DiscoverRule>();
  for (const text of texts) {
    const { name, value } = splitNamedValue(text, option);
    const rule = discoverRule(name, value, (problem) => usageError(problem, option));
    rules.set(rule.prefix, rule);
  }
  return [...rules.values()];
}

/** Checks a rule wherever it comes from; `refuse` makes the error that is thrown. */
export function discoverRule(prefix: string, origin: string, refuse: (problem: string) => Error): DiscoverRule {
  if (!isAcIdentifier(prefix)) throw refuse(`"${showReference(prefix)}" is not a prefix of image names`);
  const url = URL.parse(origin);
  const isOrigin = url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`;
  if (!isOrigin) throw refuse(`want an origin such as https://mirror.lan:8443 for "${prefix}"`);
  return { prefix, origin: url.origin };
}
