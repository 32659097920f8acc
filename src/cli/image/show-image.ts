import { show, type Entry, type ImageDescription, type StoredDependency } from '../../index.ts';
import { imageTitle } from './image-fields.ts';
import { formatEntryJson, formatEntryText, type Line } from './show-entry.ts';

/** `dependencies` are the IDs of those that are here; `missing` names the others, when there are any. */
export function formatImageJson(
  entry: Entry,
  isTrusted: boolean,
  { dependencies, manifest }: ImageDescription,
): string {
  const missing = dependencies.filter((one) => !one.image).map(dependencyTitle);
  const more = {
    dependencies: dependencies.flatMap((one) => one.image?.imageId ?? []),
    ...(missing.length > 0 && { missing }),
  };
  return formatEntryJson(entry, isTrusted, more, manifest);
}

export function formatImageText(entry: Entry, isTrusted: boolean, { image, dependencies }: ImageDescription): string {
  const needs = dependencies.map((one): Line => {
    const found = one.image ? `→ ${one.image.imageId.slice(0, 39)}` : '(not in the store)';
    return ['Needs', `${show(dependencyTitle(one), 1000)} ${found}`];
  });
  return formatEntryText(entry, isTrusted, [], [['Digest', show(image.digest)], ...needs]);
}

function dependencyTitle({ dependency: { imageName, labels, imageId } }: StoredDependency): string {
  const others = Array.from(labels).filter(([name]) => name !== 'version');
  const title = imageTitle({ name: imageName, labels });
  return [title, ...others.map(([name, value]) => `${name}=${value}`)].join(',') + (imageId ? ` (${imageId})` : '');
}
