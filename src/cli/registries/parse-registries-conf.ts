import { parse } from 'smol-toml';
import * as z from 'zod';

import { checkConfig, checkShape, configInvalid, formatFieldFault, type MirrorRule, show } from '../../internal.ts';

/**
 * The rules of a registries.conf, in either version of the format. `warnings` are about entries that are not followed.
 */
export type RegistriesConf = { readonly rules: readonly MirrorRule[]; readonly warnings: readonly string[] };

/** Trailing slashes are ignored. */
const location = z
  .string()
  .refine((text) => !/^https?:\/\//i.test(text), 'must be HOST[:PORT][/PATH], without a scheme')
  .transform((text) => text.replace(/\/+$/, ''));

const pulls = z.enum(['', 'all', 'digest-only', 'tag-only']).default('all');

const mirror = z.object({
  location: location.refine((text) => text !== '', 'must not be empty'),
  insecure: z.boolean().default(false),
  'pull-from-mirror': pulls,
});

const registry = z
  .object({
    prefix: location.default(''),
    location: location.default(''),
    insecure: z.boolean().default(false),
    blocked: z.boolean().default(false),
    'mirror-by-digest-only': z.boolean().default(false),
    'pull-from-mirror': z.literal('', 'is for mirrors only').default(''),
    mirror: z.array(mirror).default([]),
  })
  .refine((named) => !/^\*\..*[/:@]/.test(named.prefix), { path: ['prefix'], message: 'must be *.HOST and no more' })
  .refine(
    (named) =>
      !named['mirror-by-digest-only'] || named.mirror.every((one) => ['', 'all'].includes(one['pull-from-mirror'])),
    'mirror-by-digest-only and pull-from-mirror are both there',
  );

const listed = z.object({ registries: z.array(z.string()).default([]) }).transform(({ registries }) => registries);

/** The first version of the format, which podman and skopeo still read. Its list for short names is not used here. */
const firstVersion = z.object({ insecure: listed.default([]), block: listed.default([]) });

const shape = z
  .object({
    registry: z.array(z.unknown()).default([]),
    registries: firstVersion.default({ insecure: [], block: [] }),
  })
  .refine(
    ({ registry, registries: { insecure, block } }) => registry.length === 0 || insecure.length + block.length === 0,
    'both versions of the format in one file',
  );

/**
 * Parses the rules of a registries.conf. A rule that cannot be followed stays in the list, with the problem, so that
 * its registry is not used as if there were no rule. Of two rules with the same prefix the first counts.
 *
 * @throws CONFIG_INVALID with the path of the file, if it is unclear which registry a rule is for
 * @see containers-registries.conf(5)
 */
export function parseRegistriesConf(text: string, path: string): RegistriesConf {
  const { registry: entries, registries } = checkConfig(path, shape, lowerKeys(parseToml(text, path)));
  const listed = [...new Set([...registries.block, ...registries.insecure])].map((location) => ({
    location,
    blocked: registries.block.includes(location),
    insecure: registries.insecure.includes(location),
  }));
  const [rules, warnings] = [new Map<string, MirrorRule>(), new Array<string>()];
  for (const [index, entry] of [...entries, ...listed].entries()) {
    const rule = parseEntry(entry, index, path);
    if (rules.has(rule.prefix)) continue;
    const { fault = neverApplied(rule) } = rule;
    if (fault !== undefined) warnings.push(`"${show(path, 1000)}": the rule for ${show(rule.prefix)}: ${fault}`);
    rules.set(rule.prefix, rule);
  }
  return { rules: [...rules.values()], warnings };
}

function parseToml(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    const what = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw configInvalid(path, `is not TOML: ${show(what)}`, error);
  }
}

/** Keys are matched in any case, as by Go programs. */
function lowerKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lowerKeys);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key.toLowerCase(), lowerKeys(member)]));
}

function parseEntry(entry: unknown, index: number, path: string): MirrorRule {
  const shaped = checkShape(registry, entry);
  const prefix = prefixOf(entry);
  if (prefix === '') throw configInvalid(path, `registry[${index}]: neither prefix nor location`);
  if (shaped.ok) return ruleOf(shaped.value, prefix, path);
  return { prefix, mirrors: [], source: path, fault: formatFieldFault(shaped.fault) };
}

/** The prefix of an entry, even if the rest of it is not valid. */
function prefixOf(entry: unknown): string {
  const members = typeof entry === 'object' && entry !== null ? entry : {};
  const texts = ['prefix', 'location'].map((key) => ({ ...members })[key]);
  const text = texts.find((one) => typeof one === 'string' && one !== '') ?? '';
  return lowerHost(
    String(text)
      .replace(/^https?:\/\//i, '')
      .replace(/\/+$/, ''),
  );
}

function ruleOf(named: z.infer<typeof registry>, prefix: string, source: string): MirrorRule {
  const { location: at, insecure, blocked, mirror: mirrors } = named;
  const there = lowerHost(at);
  return {
    prefix,
    ...(blocked && { blocked }),
    ...(insecure && { insecure }),
    ...(there !== '' && there !== prefix && { location: there }),
    mirrors: mirrors.map((mirror) => {
      const [, host = '', below] = /^([^/]*)(?:\/(.*))?$/s.exec(mirror.location) ?? [];
      const pull = named['mirror-by-digest-only'] ? 'digest-only' : mirror['pull-from-mirror'];
      return {
        origin: `https://${host.toLowerCase()}`,
        ...(below && { prefix: below }),
        resolves: true,
        ...(pull === 'digest-only' && { only: 'digests' as const }),
        ...(pull === 'tag-only' && { only: 'tags' as const }),
        insecure: mirror.insecure,
      };
    }),
    source,
  };
}

/** Rules are looked up by repository names. */
function neverApplied({ prefix }: MirrorRule): string | undefined {
  const isOfImage = /\/[^/]*[:@][^/]*$/.test(prefix);
  return isOfImage ? 'its prefix has a tag or a digest, so that it is never applied' : undefined;
}

function lowerHost(text: string): string {
  return text.replace(/^[^/]*/, (host) => host.toLowerCase());
}
