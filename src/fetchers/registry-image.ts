import { hasCode } from '../errors.ts';
import type { Labels } from '../image/labels.ts';
import { toAppcPlatform, type GoPlatform } from '../image/platform.ts';
import type { RegistryReference } from '../image/reference.ts';
import { registryImageName } from '../image/registry-image-name.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { FoundImage } from './found.ts';

/** A registry's image that is kept as it came, in the terms of all images. */
export function describeRegistryImage(
  reference: RegistryReference,
  { manifest, platform, source, verified, latest }: Omit<RegistryImage, 'importedAtMs' | 'lastUsedAtMs'>,
): FoundImage {
  return {
    imageId: manifest.digest,
    name: registryImageName(reference),
    labels: registryLabels(reference, platform),
    size: manifest.size,
    digest: manifest.digest,
    source,
    verified,
    latest,
    dependencies: [],
  };
}

/** Those that the image would have as an archive; a platform that appc has no name for keeps that of its registry. */
export function registryLabels({ tag }: Pick<RegistryReference, 'tag'>, platform: GoPlatform): Labels {
  return new Map(Object.entries({ ...(tag !== undefined && { version: tag }), ...platformLabels(platform) }));
}

function platformLabels(platform: GoPlatform): Readonly<Record<string, string>> {
  const { os, architecture } = platform;
  if (os === '') return {};
  try {
    return { ...toAppcPlatform(platform) };
  } catch (error) {
    if (!hasCode(error, 'PLATFORM_MISSING')) throw error;
    return { os, arch: architecture };
  }
}

/** Only what was asked for as `latest`, or without a word, is the latest of its name. */
export function isLatest({ tag }: Pick<RegistryReference, 'tag'>): boolean {
  return tag === 'latest';
}
