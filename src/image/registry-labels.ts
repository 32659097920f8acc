import { hasCode } from '../errors.ts';
import type { Labels } from './labels.ts';
import { toAppcPlatform, type GoPlatform } from './platform.ts';
import type { RegistryReference } from './reference.ts';

/**
 * The labels that a registry's image has as an archive; a platform that appc has no name for keeps that of its registry.
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
