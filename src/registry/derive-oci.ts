import { digestOf } from './check-digest.ts';
import { manifestTypes, ociType } from './media-types.ts';
import type { Descriptor, RegistryDocument } from './types.ts';

/**
 * The OCI manifest of an image that came with a docker one: the same blobs under the types that tools expect which read
 * OCI alone. The same image always gives the same bytes.
 *
 * @returns undefined for what is an OCI manifest already.
 * @see OCI image-spec, manifest.md and media-types.md (Compatibility Matrix)
 */
export function deriveOciManifest(
  manifest: RegistryDocument,
  { config, layers }: { readonly config: Descriptor; readonly layers: readonly Descriptor[] },
): RegistryDocument | undefined {
  const [mediaType = ''] = manifestTypes;
  if (manifest.mediaType === mediaType) return undefined;
  const text = JSON.stringify({ schemaVersion: 2, mediaType, config: toOci(config), layers: layers.map(toOci) });
  const bytes = Buffer.from(text);
  return { bytes, digest: digestOf(bytes), mediaType };
}

function toOci({ mediaType, digest, size }: Descriptor): Pick<Descriptor, 'mediaType' | 'digest' | 'size'> {
  return { mediaType: ociType(mediaType), digest, size };
}
