import {
  describeImage,
  describeRegistryImage,
  type Entry,
  type ImageDescription,
  imageRow,
  type RegistryDescription,
  resolveEntry,
  show,
  type Store,
  type StoredDependency,
} from '../../../internal.ts';
import { valueOf } from '../../options/read.ts';
import { formatTable, safeJson, toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { imageTitle, openTrustedNow, sizeText, trustFact } from './fields.ts';
import { oneOf } from './options.ts';
import type { Subcommand } from './subcommand.ts';

export const showImage: Subcommand = (line, io) => {
  const { stdout } = io;
  const [asked = ''] = line.operands.map(({ text }) => text);
  const output = valueOf(line, 'output', oneOf(['text', 'json']));
  return {
    access: 'read',
    asked: [asked],
    async run(store) {
      const entry = await resolveEntry(store, asked);
      const isTrusted = await (await openTrustedNow(line, io))(entry);
      await write(stdout, await describe(store, entry, { isTrusted, json: output === 'json' }));
      return [];
    },
  };
};

type Showing = { readonly isTrusted: boolean; readonly json: boolean };

async function describe(store: Store, entry: Entry, { isTrusted, json }: Showing): Promise<string> {
  if (entry.kind === 'image') {
    const description = await describeImage(store, entry.image);
    return json ? formatImageJson(entry, isTrusted, description) : formatImageText(entry, isTrusted, description);
  }
  const description = await describeRegistryImage(store, entry.image);
  return json ? formatRegistryJson(entry, isTrusted, description) : formatRegistryText(entry, isTrusted, description);
}

/** A title and its value. */
type Line = readonly [title: string, value: string];

/**
 * Formats one JSON document: the row of a list, further members, and the text of the manifest, which is not
 * reformatted, since that could change numbers.
 */
function formatEntryJson(entry: Entry, isTrusted: boolean, more: object, manifest: string): string {
  const row = { schema: 'longshore.image/1', ...imageRow(entry), ...trustFact(isTrusted), ...more };
  return `${toSafeJson(row).slice(0, -1)},"manifest":${safeJson(manifest.trim())}}\n`;
}

/** `before` is placed between name and size, `after` at the end. */
function formatEntryText(entry: Entry, isTrusted: boolean, before: readonly Line[], after: readonly Line[]): string {
  const { id, name, labels, size, importedAtMs, lastUsedAtMs, latest, source, verified, weak } = entry;
  const lines: readonly Line[] = [
    ['ID', id],
    ['Name', show(name, 1000)],
    ...Array.from(labels, ([label, value]): Line => ['Label', show(`${label}=${value}`, 1000)]),
    ...before,
    ['Size', `${sizeText(size)} (${size} bytes)`],
    ['Imported', new Date(importedAtMs).toISOString()],
    ['Last used', new Date(lastUsedAtMs).toISOString()],
    ['Latest', latest ? 'yes' : 'no'],
    ['Source', show(source, 4096)],
    ...(verified === false
      ? [['Verified', 'no: stored without a check of its signature'] as const]
      : verified.map((fingerprint): Line => [
          'Signed by',
          `${show(fingerprint)}${weak ? ' (weak key)' : ''}${isTrusted ? '' : ' (not trusted now)'}`,
        ])),
    ...after,
  ];
  return formatTable(lines.map(([title, value]) => [`${title}:`, value]));
}

/**
 * `dependencies` has the IDs of those in the store; `missing` names the others, if any; `madeOf` has the references of
 * the registry images that it was converted from.
 */
function formatImageJson(
  entry: Entry,
  isTrusted: boolean,
  { dependencies, madeOf, proofs, manifest }: ImageDescription,
): string {
  const missing = dependencies.filter((dependency) => !dependency.image).map(dependencyTitle);
  const more = {
    dependencies: dependencies.flatMap((dependency) => dependency.image?.imageId ?? []),
    ...(missing.length > 0 && { missing }),
    ...(madeOf.length > 0 && { madeOf: madeOf.map(({ reference }) => reference) }),
    ...proofFacts(proofs),
  };
  return formatEntryJson(entry, isTrusted, more, manifest);
}

/** What made the image trusted, without the bytes. */
function proofFacts(proofs: ImageDescription['proofs']): object {
  if (proofs.length === 0) return {};
  return { proofs: proofs.map(({ kind, covers, signedBy, log }) => ({ kind, covers, signedBy, ...(log && { log }) })) };
}

function proofLines(proofs: ImageDescription['proofs']): readonly Line[] {
  return proofs.map(({ kind, covers, signedBy, log }): Line => {
    const by = signedBy.map((one) => show(one, 4096)).join(', ');
    const what = signedBy.length === 0 ? 'accepted unsigned' : `by ${by}`;
    return ['Proof', `${kind} ${what}, over ${show(covers)}${log ? `, log ${log}` : ''}`];
  });
}

function formatImageText(
  entry: Entry,
  isTrusted: boolean,
  { image, dependencies, madeOf, proofs }: ImageDescription,
): string {
  const from = madeOf.map(({ reference }): Line => ['Made of', show(reference, 1000)]);
  const needs = dependencies.map((dependency): Line => {
    const found = dependency.image ? `→ ${dependency.image.imageId.slice(0, 39)}` : '(not in the store)';
    return ['Needs', `${show(dependencyTitle(dependency), 1000)} ${found}`];
  });
  return formatEntryText(
    entry,
    isTrusted,
    [],
    [...proofLines(proofs), ['Digest', show(image.digest)], ...archiveLines(image), ...from, ...needs],
  );
}

function archiveLines({ archive }: ImageDescription['image']): readonly Line[] {
  if (!archive) return [];
  const { digest, size, compression } = archive;
  return [['Archive', `${digest} ${sizeText(size)}, ${compression === 'none' ? 'not compressed' : show(compression)}`]];
}

function dependencyTitle({ dependency: { imageName, labels, imageId } }: StoredDependency): string {
  const others = Array.from(labels).filter(([name]) => name !== 'version');
  const title = imageTitle({ name: imageName, labels });
  return [title, ...others.map(([name, value]) => `${name}=${value}`)].join(',') + (imageId ? ` (${imageId})` : '');
}

function formatRegistryJson(entry: Entry, isTrusted: boolean, description: RegistryDescription): string {
  const { image, references, config, layers, manifests, proofs, manifest } = description;
  const { mediaType } = image.manifest;
  const more = {
    references,
    mediaType,
    ...(image.referrers && { referrers: image.referrers }),
    ...proofFacts(proofs),
    ...(image.index && { index: image.index.digest }),
    ...(manifests ? { manifests } : { config: config?.digest, layers }),
  };
  return formatEntryJson(entry, isTrusted, { ...more, dependencies: [] }, manifest);
}

function formatRegistryText(
  entry: Entry,
  isTrusted: boolean,
  { image, references, config, layers = [], manifests = [], proofs }: RegistryDescription,
): string {
  const { manifest, index, platform, platforms = [platform], referrers = [], imageId } = image;
  const before: readonly Line[] = [
    ...references.map((reference): Line => ['Reference', show(reference, 1000)]),
    ...platforms.map((one): Line => ['Platform', platformText(one)]),
  ];
  const after: readonly Line[] = [
    ...proofLines(proofs),
    ...(imageId === undefined ? [] : [['Converted to', imageId] as const]),
    ...(index ? [['Index', index.digest] as const] : []),
    [image.platforms ? 'Index' : 'Manifest', `${manifest.digest} (${show(manifest.mediaType)})`],
    ...manifests.map((one): Line => [
      'Manifest',
      `${one.digest} ${one.platform ? platformText(one.platform) : ''}`.trim(),
    ]),
    ...(config ? [['Config', config.digest] as const] : []),
    ...layers.map(({ digest, size }): Line => ['Layer', `${digest} ${sizeText(size)}`]),
    ...referrers.map(({ digest, artifactType, tag, subject }): Line => [
      'Attached',
      [digest, show(artifactType), tag ?? `to ${subject}`].filter(Boolean).join(' '),
    ]),
  ];
  return formatEntryText(entry, isTrusted, before, after);
}

function platformText({ os, architecture, variant }: RegistryDescription['image']['platform']): string {
  return show([os, architecture, variant].filter(Boolean).join('/')) || 'none named';
}
