import type { DiscoverRule } from '../options/discover.ts';

/** The rules of the command line replace those of the configuration prefix by prefix. */
export function mergeDiscover(
  configured: readonly DiscoverRule[],
  given: readonly DiscoverRule[],
): readonly DiscoverRule[] {
  return [...new Map([...configured, ...given].map((rule) => [rule.prefix, rule])).values()];
}
