import { show, type Entry, type RegistryDescription } from '../../index.ts';
import { sizeText } from './image-fields.ts';
import { formatEntryJson, formatEntryText, type Line } from './show-entry.ts';

export function formatRegistryJson(entry: Entry, isTrusted: boolean, description: RegistryDescription): string {
  const { image, references, config, layers, manifest } = description;
  const { mediaType } = image.manifest;
  const more = {
    references,
    mediaType,
    ...(image.index && { index: image.index.digest }),
    config: config.digest,
    layers,
  };
  return formatEntryJson(entry, isTrusted, { ...more, dependencies: [] }, manifest);
}

export function formatRegistryText(
  entry: Entry,
  isTrusted: boolean,
  { image, references, config, layers }: RegistryDescription,
): string {
  const { manifest, index, platform, imageId } = image;
  const { os, architecture, variant } = platform;
  const before: readonly Line[] = [
    ...references.map((reference): Line => ['Reference', show(reference, 1000)]),
    ['Platform', show([os, architecture, variant].filter(Boolean).join('/')) || 'none named'],
  ];
  const after: readonly Line[] = [
    ...(imageId === undefined ? [] : [['Converted to', imageId] as const]),
    ...(index ? [['Index', index.digest] as const] : []),
    ['Manifest', `${manifest.digest} (${show(manifest.mediaType)})`],
    ['Config', config.digest],
    ...layers.map(({ digest, size }): Line => ['Layer', `${digest} ${sizeText(size)}`]),
  ];
  return formatEntryText(entry, isTrusted, before, after);
}
