import { parse } from 'smol-toml';
import * as z from 'zod';

import { checkShape, formatFieldFault, show, type MirrorRule } from '../../index.ts';
import { configError } from '../config/config-error.ts';

const place = /^[a-zA-Z0-9._-]+(?::\d+)?(?:\/[a-z0-9._/-]*[a-z0-9])?$/;
const location = z.string().regex(place, 'want HOST[:PORT][/PATH]');

const mirror = z.object({
  location,
  insecure: z.boolean().default(false),
  'pull-from-mirror': z.enum(['all', 'digest-only', 'tag-only']).default('all'),
});

const registry = z
  .object({
    prefix: z.string().regex(/^(?:\*\.)?[a-zA-Z0-9._-]+(?::\d+)?(?:\/[a-z0-9._/-]+)?$/, 'want HOST[:PORT][/PATH]'),
    location,
    insecure: z.boolean(),
    blocked: z.boolean(),
    'mirror-by-digest-only': z.boolean(),
    mirror: z.array(mirror),
  })
  .partial()
  .refine((named) => named.prefix !== undefined || named.location !== undefined, 'neither prefix nor location');

const listed = z.object({ registries: z.array(location).default([]) }).transform(({ registries }) => registries);

/** The first version of the format, which podman and skopeo still read. What it lists for short names is of no use here. */
const firstVersion = z
  .object({ insecure: listed.default([]), block: listed.default([]) })
  .transform(({ insecure, block }): readonly MirrorRule[] => [
    ...insecure.filter((name) => !block.includes(name)).map((name) => toRule(name, { insecure: true })),
    ...block.map((name) => toRule(name, { blocked: true })),
  ]);

const shape = z
  .object({ registry: z.array(registry).default([]), registries: firstVersion.default([]) })
  .refine(
    (file) => file.registry.length === 0 || file.registries.length === 0,
    'both versions of the format in one file',
  )
  .transform((file) => [...file.registry.map(ruleOf), ...file.registries]);

/**
 * The rules of a registries.conf, of either version of the format.
 *
 * @throws CONFIG_INVALID naming the file
 */
export function parseRegistriesConf(text: string, path: string): readonly MirrorRule[] {
  const shaped = checkShape(shape, parseToml(text, path));
  if (shaped.ok) return shaped.value;
  throw configError(path, formatFieldFault(shaped.fault));
}

function parseToml(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    const what = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw configError(path, `is not TOML: ${show(what)}`, error);
  }
}

function ruleOf(named: z.infer<typeof registry>): MirrorRule {
  const { location: at, prefix = at ?? '', insecure, blocked, mirror: mirrors = [] } = named;
  const digestsOnly = named['mirror-by-digest-only'] ?? false;
  return {
    prefix: lowerHost(prefix),
    ...(blocked && { blocked }),
    ...(insecure && { insecure }),
    ...(at !== undefined && at !== prefix && { location: lowerHost(at) }),
    mirrors: mirrors.map((one) => {
      const slash = one.location.indexOf('/');
      const [host, below] =
        slash === -1 ? [one.location, ''] : [one.location.slice(0, slash), one.location.slice(slash + 1)];
      const resolves = !digestsOnly && one['pull-from-mirror'] !== 'digest-only';
      return {
        origin: `https://${host.toLowerCase()}`,
        ...(below && { prefix: below }),
        resolves,
        insecure: one.insecure,
      };
    }),
  };
}

function toRule(name: string, how: Pick<MirrorRule, 'insecure' | 'blocked'>): MirrorRule {
  return { prefix: lowerHost(name), ...how, mirrors: [] };
}

function lowerHost(text: string): string {
  return text.replace(/^[^/]*/, (host) => host.toLowerCase());
}
