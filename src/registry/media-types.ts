export const indexTypes: readonly string[] = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];

export const manifestTypes: readonly string[] = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

/** What requests for manifests accept. */
export const acceptedTypes: string = [...indexTypes, ...manifestTypes].join(', ');

export const configTypes: readonly string[] = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
];

const ociLayer = 'application/vnd.oci.image.layer.v1.tar';
const dockerLayer = 'application/vnd.docker.image.rootfs.diff.tar';

export const layerTypes: readonly string[] = ['', '+gzip', '+zstd']
  .map((suffix) => ociLayer + suffix)
  .concat(['', '.gzip', '.zstd'].map((suffix) => dockerLayer + suffix));

/** What OCI calls the same config or layer. */
export function ociType(type: string): string {
  if (type === configTypes[1]) return configTypes[0] ?? type;
  return type.startsWith(dockerLayer) ? ociLayer + type.slice(dockerLayer.length).replace('.', '+') : type;
}

/** A type that says nothing of what a document is. */
export function isGenericType(type: string): boolean {
  return ['', 'application/json', 'application/octet-stream', 'text/plain'].includes(type);
}

export function isSchema1Type(type: string): boolean {
  return /^application\/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)$/.test(type);
}

export function isForeignLayerType(type: string): boolean {
  return type.startsWith('application/vnd.docker.image.rootfs.foreign.') || type.includes('.layer.nondistributable.');
}
