import type { RegistryReference } from '../image/reference.ts';
import { registryImageName } from '../image/registry-image-name.ts';
import { registryLabels } from '../image/registry-labels.ts';
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

/** Only what was asked for as `latest`, or without a word, is the latest of its name. */
export function isLatest({ tag }: Pick<RegistryReference, 'tag'>): boolean {
  return tag === 'latest';
}
