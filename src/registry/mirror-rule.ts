import type { MirrorRule } from './types.ts';

/** A rule that fits, and the part of the repository that its prefix stands for. */
export type FittingRule = { readonly rule: MirrorRule; readonly cut: string };

/**
 * The rule with the longest prefix that a repository lies under; the first of equals.
 *
 * @see containers-registries.conf(5)
 */
export function ruleFor(rules: readonly MirrorRule[], host: string, repository: string): FittingRule | undefined {
  let best: FittingRule | undefined;
  for (const rule of rules) {
    const slash = rule.prefix.indexOf('/');
    const named = slash === -1 ? rule.prefix : rule.prefix.slice(0, slash);
    const cut = slash === -1 ? '' : rule.prefix.slice(slash + 1);
    const isBelow = cut === '' || repository === cut || repository.startsWith(`${cut}/`);
    if (!isBelow || !isHostOf(named, host)) continue;
    if (!best || rule.prefix.length > best.rule.prefix.length) best = { rule, cut };
  }
  return best;
}

/** `*.example.com` is every host below example.com, and not that itself. */
export function isHostOf(named: string, host: string): boolean {
  return named.startsWith('*.') ? host.endsWith(named.slice(1)) : host === named;
}
