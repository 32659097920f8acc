import { hasCode, ImageError } from '../errors.ts';
import type { Labels } from './labels.ts';
import type { RegistryReference } from './registry-reference.ts';
import { show } from './show.ts';

/** os and arch as in appc labels. */
export type AppcPlatform = { readonly os: string; readonly arch: string };
/** A platform as Go and registries name it. */
export type GoPlatform = {
  /** `linux`, `darwin`, … */
  readonly os: string;
  /** `amd64`, `arm64`, `arm`, … */
  readonly architecture: string;
  /** `v6`, `v7`, `v8` or similar. */
  readonly variant?: string;
};

type Row = readonly [os: string, architecture: string, variants: readonly string[], arch: string];

// To convert from appc, the first row with its os and arch counts, and the first variant there. An empty variant means
// none.
const rows: readonly Row[] = [
  ['linux', 'amd64', ['', 'v1', 'v2', 'v3', 'v4'], 'amd64'],
  ['linux', '386', [''], 'i386'],
  ['linux', 'arm64', ['', 'v8'], 'aarch64'],
  ['linux', 'arm', ['v6', '6', ''], 'armv6l'],
  ['linux', 'arm', ['v7', '7'], 'armv7l'],
  ['linux', 'ppc64', [''], 'ppc64'],
  ['linux', 'ppc64le', [''], 'ppc64le'],
  ['linux', 's390x', [''], 's390x'],
  ['freebsd', 'amd64', ['', 'v1', 'v2', 'v3', 'v4'], 'amd64'],
  ['freebsd', '386', [''], 'i386'],
  ['freebsd', 'arm', ['v6', '6', '', 'v5', '5', 'v7', '7'], 'arm'],
  ['darwin', 'amd64', ['', 'v1', 'v2', 'v3', 'v4'], 'x86_64'],
  ['darwin', '386', [''], 'i386'],
];

/**
 * @throws PLATFORM_MISSING when appc has no name for the platform. @see appc 0.8.11, schema/types/labels.go,
 * ToAppcOSArch
 */
export function toAppcPlatform({ os, architecture, variant = '' }: GoPlatform): AppcPlatform {
  const row = rows.find((row) => row[0] === os && row[1] === architecture && row[2].includes(variant));
  if (!row)
    throw missing([os, architecture, variant].filter(Boolean).join('/'), 'appc', (row) => `${row[0]}/${row[3]}`);
  return { os, arch: row[3] };
}

/**
 * @throws PLATFORM_MISSING when Go has no name for the platform. @see appc 0.8.11, schema/types/labels.go, ToGoOSArch
 */
export function toGoPlatform({ os, arch }: AppcPlatform): GoPlatform {
  const row = rows.find((row) => row[0] === os && row[3] === arch);
  if (!row) throw missing(`${os}/${arch}`, 'Go', (row) => `${row[0]}/${row[1]}`);
  const [variant] = row[2];
  return { os, architecture: row[1], ...(variant && { variant }) };
}

function missing(wanted: string, whose: string, format: (row: Row) => string): ImageError<'PLATFORM_MISSING'> {
  const message = `${whose} has no name for the platform "${show(wanted)}"`;
  return new ImageError('PLATFORM_MISSING', message, {
    wanted: show(wanted),
    available: [...new Set(rows.map(format))],
  });
}

/** Other names of architectures, and the ones that Go and registries use. */
const architectures: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  aarch64: ['arm64'],
  i386: ['386'],
  i686: ['386'],
  armhf: ['arm', 'v7'],
  armv7l: ['arm', 'v7'],
  armel: ['arm', 'v6'],
  armv6l: ['arm', 'v6'],
};

const form = /^([a-z0-9]+)\/([a-z0-9_-]+)(?:\/([a-z0-9.]+))?$/;

/** Parses `os/arch[/variant]`, such as `linux/arm64` or `linux/arm/v7`. @throws USAGE */
export function parsePlatform(text: string, option = 'platform'): GoPlatform {
  const [, os, named, given] = form.exec(text.toLowerCase()) ?? [];
  if (os === undefined || named === undefined) {
    const message = `${option}: want a platform such as linux/arm64 or linux/arm/v7, got "${show(text)}"`;
    throw new ImageError('USAGE', message, { option });
  }
  const [architecture, implied] = (Object.hasOwn(architectures, named) && architectures[named]) || [named];
  const variant = given ?? implied;
  return { os: os === 'macos' ? 'darwin' : os, architecture, ...(variant !== undefined && { variant }) };
}

/**
 * The labels that a registry image has when it is converted. A platform that appc has no name for keeps the names of
 * the registry.
 */
export function registryLabels({ tag }: Pick<RegistryReference, 'tag'>, platform: GoPlatform): Labels {
  return new Map(Object.entries({ ...(tag !== undefined && { version: tag }), ...platformLabels(platform) }));
}

function platformLabels(platform: GoPlatform): Readonly<Record<string, string>> {
  const { os, architecture } = platform;
  try {
    return os === '' ? {} : toAppcPlatform(platform);
  } catch (error) {
    if (!hasCode(error, 'PLATFORM_MISSING')) throw error;
    return { os, arch: architecture };
  }
}
