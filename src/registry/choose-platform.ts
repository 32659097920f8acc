import { ImageError } from '../errors.ts';
import type { NodePlatform } from '../image/labels.ts';
import type { GoPlatform } from '../image/platform.ts';
import { show } from '../image/show.ts';
import { indexTypes, manifestTypes } from './media-types.ts';
import type { IndexEntry } from './types.ts';

/** The variant that is meant where none is given. */
const plainVariants: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8', arm: 'v7' };

/**
 * Chooses the entry for a platform: the one with the highest variant that runs on it, the first of several; if there is none, an
 * entry without a platform.
 *
 * @throws ImageError PLATFORM_MISSING with the platforms that the index has.
 * @see OCI image-spec, image-index.md
 */
export function choosePlatform(entries: readonly IndexEntry[], wanted: GoPlatform): IndexEntry {
  const usable = entries.filter(isImage);
  let best: { readonly entry: IndexEntry; readonly level: number } | undefined;
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

function formatPlatform({ os, architecture, variant }: GoPlatform): string {
  return [os, architecture, variant].filter(Boolean).join('/');
}

/** False for entries of unknown types, and for attestations, which have the type of images. */
function isImage({ mediaType, platform, annotations }: IndexEntry): boolean {
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
