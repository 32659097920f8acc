import { hasCode, ImageError } from '../errors.ts';
import type { Labels, NodePlatform } from './labels.ts';
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

/** As parsePlatform reads it. */
function formatPlatform({ os, architecture, variant }: GoPlatform): string {
  return [os, architecture, variant].filter(Boolean).join('/');
}

/** What is asked for of an image: one platform, or the whole index that it is in. */
export type PlatformChoice = GoPlatform | 'all';

/** As parsePlatformChoice reads it. */
export function formatPlatformChoice(platform: PlatformChoice): string {
  return platform === 'all' ? platform : formatPlatform(platform);
}

/** Whether a text is what formatPlatformChoice returns. */
export function isPlatformName(text: string): boolean {
  if (text === 'all') return true;
  return form.test(text) && formatPlatform(parsePlatform(text)) === text;
}

/** The platform of what is for no platform, or for several. */
export const noPlatform: GoPlatform = Object.freeze({ os: '', architecture: '' });

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

/** As parsePlatform, or `all`. @throws USAGE */
export function parsePlatformChoice(text: string, option = 'platform'): PlatformChoice {
  return text === 'all' ? text : parsePlatform(text, option);
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

export const indexTypes: readonly string[] = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];

export const manifestTypes: readonly string[] = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

/** What an index says of a manifest or of an index in it. */
type Entry = {
  readonly mediaType: string;
  readonly platform: GoPlatform | undefined;
  readonly annotations: Readonly<Record<string, string>>;
};

/** The variant that is meant where none is given. */
const plainVariants: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8', arm: 'v7' };

/**
 * Chooses the entry for a platform: the one with the highest variant that runs on it, the first of several; if there is none, an
 * entry without a platform.
 *
 * @throws ImageError PLATFORM_MISSING with the platforms that the index has.
 * @see OCI image-spec, image-index.md
 */
export function choosePlatform<E extends Entry>(entries: readonly E[], wanted: GoPlatform): E {
  const usable = entries.filter(isImage);
  let best: { readonly entry: E; readonly level: number } | undefined;
  for (const entry of usable) {
    const level = entry.platform ? suitability(entry.platform, wanted) : -1;
    if (level !== undefined && (!best || level > best.level)) best = { entry, level };
  }
  if (best) return best.entry;
  throw platformMissing(
    wanted,
    usable.flatMap(({ platform }) => platform ?? []),
  );
}

/** Whether an image for `platform` runs on the `wanted` one. */
export function runsOn(platform: GoPlatform, wanted: GoPlatform): boolean {
  return suitability(platform, wanted) !== undefined;
}

export function platformMissing(wanted: GoPlatform, there: readonly GoPlatform[]): ImageError<'PLATFORM_MISSING'> {
  const available = [...new Set(there.map((platform) => show(formatPlatform(platform))))].slice(0, 64);
  const text = show(formatPlatform(wanted));
  const others = available.length === 0 ? '' : `, only for ${available.join(', ')}`;
  return new ImageError('PLATFORM_MISSING', `there is no image for ${text}${others}`, { wanted: text, available });
}

/** Linux on the processor of this machine. */
export function hostPlatform({ arch, armVersion }: NodePlatform): GoPlatform {
  switch (arch) {
    case 'x64':
      return { os: 'linux', architecture: 'amd64' };
    case 'ia32':
      return { os: 'linux', architecture: '386' };
    case 'arm':
      return { os: 'linux', architecture: 'arm', variant: `v${armVersion ?? '7'}` };
    case 'ppc64':
      return { os: 'linux', architecture: 'ppc64le' }; // Node runs on little-endian POWER only
    default:
      return { os: 'linux', architecture: arch };
  }
}

/** False for entries of unknown types, and for attestations, which have the type of images. */
function isImage({ mediaType, platform, annotations }: Entry): boolean {
  const isKnown = indexTypes.includes(mediaType) || manifestTypes.includes(mediaType);
  const isUnknown = platform?.os === 'unknown' && platform.architecture === 'unknown';
  return isKnown && !isUnknown && annotations['vnd.docker.reference.type'] !== 'attestation-manifest';
}

/** How well a platform suits the wanted one, higher is better; undefined if it does not run there. */
function suitability(platform: GoPlatform, wanted: GoPlatform): number | undefined {
  if (platform.os !== wanted.os || platform.architecture !== wanted.architecture) return undefined;
  const plain = plainVariants[wanted.architecture] ?? '';
  const [have, want] = [platform.variant ?? plain, wanted.variant ?? plain];
  if (have === want) return Infinity;
  const [level, limit] = [levelOf(have), levelOf(want)];
  return level !== undefined && limit !== undefined && level <= limit ? level : undefined;
}

function levelOf(variant: string): number | undefined {
  const digits = /^v?(\d{1,3})$/.exec(variant)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
