import {
  describeImage,
  imageRow,
  resolveImage,
  show as shown,
  type ImageDescription,
  type StoredDependency,
} from '../../index.ts';
import { valueOf } from '../options/read.ts';
import { write } from '../output/write.ts';
import { oneOf } from './choice.ts';
import { imageTitle, sizeText } from './image-fields.ts';
import { safeJson, toSafeJson } from './json-text.ts';
import type { Subcommand } from './subcommand.ts';
import { formatTable } from './table.ts';

export const show: Subcommand = (line, { stdout }) => {
  const [asked = ''] = line.operands.map(({ text }) => text);
  const output = valueOf(line, 'output', oneOf(['text', 'json']));
  return {
    access: 'read',
    async run(store) {
      const description = await describeImage(store, await resolveImage(store, asked));
      await write(stdout, output === 'json' ? formatJson(description) : formatText(description));
      return [];
    },
  };
};

/** `dependencies` are the IDs of those that are here; `missing` names the others, when there are any. */
function formatJson({ image, dependencies, manifest }: ImageDescription): string {
  const missing = dependencies.filter((one) => !one.image).map(dependencyTitle);
  const row = {
    schema: 'longshore.image/1',
    ...imageRow(image),
    dependencies: dependencies.flatMap((one) => one.image?.imageId ?? []),
    ...(missing.length > 0 && { missing }),
  };
  // The manifest goes in as it stands: parsed and written again, its numbers could change.
  return `${toSafeJson(row).slice(0, -1)},"manifest":${safeJson(manifest.trim())}}\n`;
}

function formatText({ image, dependencies }: ImageDescription): string {
  const { imageId, labels, size, importedAtMs, lastUsedAtMs, latest, source, verified, weak, digest } = image;
  const lines: [string, string][] = [
    ['ID', imageId],
    ['Name', shown(image.name, 1000)],
    ...Array.from(labels, ([name, value]): [string, string] => ['Label', shown(`${name}=${value}`, 1000)]),
    ['Size', `${sizeText(size)} (${size} bytes)`],
    ['Imported', new Date(importedAtMs).toISOString()],
    ['Last used', new Date(lastUsedAtMs).toISOString()],
    ['Latest', latest ? 'yes' : 'no'],
    ['Source', shown(source, 4096)],
    ['Digest', shown(digest)],
  ];
  if (verified === false) lines.push(['Verified', 'no: brought in without a check of its signature']);
  else
    for (const fingerprint of verified) lines.push(['Signed by', `${shown(fingerprint)}${weak ? ' (weak key)' : ''}`]);
  for (const one of dependencies) {
    lines.push([
      'Needs',
      `${shown(dependencyTitle(one), 1000)} ${one.image ? `→ ${one.image.imageId.slice(0, 39)}` : '(not in the store)'}`,
    ]);
  }
  return formatTable(lines.map(([title, value]) => [`${title}:`, value]));
}

function dependencyTitle({ dependency: { imageName, labels, imageId } }: StoredDependency): string {
  const others = Array.from(labels).filter(([name]) => name !== 'version');
  const title = imageTitle({ name: imageName, labels });
  return [title, ...others.map(([name, value]) => `${name}=${value}`)].join(',') + (imageId ? ` (${imageId})` : '');
}
