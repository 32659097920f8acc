import type { MirrorRule } from './types.ts';

/** A rule that fits, and what follows its prefix in the name: empty, `/app`, or `:5000/app` where only the port does. */
export type FittingRule = { readonly rule: MirrorRule; readonly rest: string };

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
