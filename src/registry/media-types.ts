import { indexTypes, manifestTypes } from '../image/platform.ts';
import { digestOf } from './download-blob.ts';
import type { Descriptor, RegistryDocument } from './types.ts';

/** The type of manifests of artifacts before OCI 1.1. */
const artifactType = 'application/vnd.oci.artifact.manifest.v1+json';

/** The types of manifests of any kind. */
export const anyManifestTypes: readonly string[] = [...manifestTypes, artifactType];

/** The Accept header of requests for indexes and manifests of images, and for manifests of any kind. */
export const acceptedTypes: string = [...indexTypes, ...manifestTypes].join(', ');
export const anyAcceptedTypes: string = [...indexTypes, ...anyManifestTypes].join(', ');

export const configTypes: readonly string[] = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
];

const ociLayer = 'application/vnd.oci.image.layer.v1.tar';
const dockerLayer = 'application/vnd.docker.image.rootfs.diff.tar';

export const layerTypes: readonly string[] = ['', '+gzip', '+zstd']
  .map((suffix) => ociLayer + suffix)
  .concat(['', '.gzip', '.zstd'].map((suffix) => dockerLayer + suffix));

/** The OCI type of the same config or layer. */
function ociType(type: string): string {
  if (type === configTypes[1]) return configTypes[0] ?? type;
  return type.startsWith(dockerLayer) ? ociLayer + type.slice(dockerLayer.length).replace('.', '+') : type;
}

/** Whether a type does not tell the kind of a document. */
export function isGenericType(type: string): boolean {
  return ['', 'application/json', 'application/octet-stream', 'text/plain'].includes(type);
}

export function isSchema1Type(type: string): boolean {
  return /^application\/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)$/.test(type);
}

export function isForeignLayerType(type: string): boolean {
  return type.startsWith('application/vnd.docker.image.rootfs.foreign.') || type.includes('.layer.nondistributable.');
}

/**
 * Makes an OCI manifest from a docker one, for tools that read only OCI: it has the same blobs with OCI types. The same image
 * always gives the same bytes.
 *
 * @returns undefined if the manifest is an OCI one.
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
