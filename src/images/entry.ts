import { hasCode } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import type { ImageId } from '../image/image-id.ts';
import { registryImageName } from '../image/registry-image-name.ts';
import { registryLabels } from '../image/registry-labels.ts';
import { parseRegistryReference } from '../image/registry-reference.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { StoredImage } from '../store/store.ts';

/** What is known of everything that the store lists. */
type Facts = Pick<
  StoredImage,
  'name' | 'labels' | 'size' | 'importedAtMs' | 'lastUsedAtMs' | 'latest' | 'source' | 'verified' | 'weak'
>;

/** One thing that the store lists: an image, or one of a registry as it came, whose ID is the digest of its manifest. */
export type Entry = Facts &
  (
    | { readonly kind: 'image'; readonly id: ImageId; readonly image: StoredImage }
    | { readonly kind: 'registry'; readonly id: Digest; readonly image: RegistryImage }
  );

export function imageEntry(image: StoredImage): Entry {
  return { ...image, kind: 'image', id: image.imageId, image };
}

/** Name and labels are those that an image made of it has. */
export function registryEntry(image: RegistryImage): Entry {
  const { size, importedAtMs, lastUsedAtMs, latest, source, verified, weak, platform } = image;
  const listed = parseListed(image.reference);
  const { name } = listed;
  const labels = registryLabels(listed, platform);
  const facts = { name, labels, size, importedAtMs, lastUsedAtMs, latest, source, verified, weak };
  return { ...facts, kind: 'registry', id: image.manifest.digest, image };
}

/** One of several platforms may have been given a reference that is none to a registry. */
function parseListed(reference: string): { readonly name: string; readonly tag?: string } {
  try {
    const parsed = parseRegistryReference(reference);
    return { ...parsed, name: registryImageName(parsed) };
  } catch (error) {
    if (!hasCode(error, 'REFERENCE_INVALID')) throw error;
    return { name: reference };
  }
}
