import { ImageError } from '../errors.ts';
import { describeJsonFault, foldKey, parseJsonStrict } from './json.ts';
import type { Labels } from './labels.ts';
import { manifestKeys, manifestSchema } from './manifest-schema.ts';
import { checkShape, type Fault, formatFault } from './shape.ts';

/** One entry of a manifest's `dependencies`. `imageId` is the pin as written: a complete ID or a prefix. */
export type Dependency = {
  readonly imageName: string;
  readonly imageId?: string;
  /** An empty version counts as absent, as in a reference. */
  readonly labels: Labels;
  /** Bytes of the uncompressed image. */
  readonly size?: number;
};

/**
 * The parts of an image manifest that longshore uses; the whole document is stored as text. @see appc 0.8.11,
 * spec/aci.md, Image Manifest Schema
 */
export type ImageManifest = {
  readonly acVersion: string;
  readonly name: string;
  readonly labels: Labels;
  readonly dependencies: readonly Dependency[];
  readonly pathWhitelist: readonly string[];
};

const maxFaultsShown = 5;

/**
 * Parses an image manifest and checks all of it, including the parts that are not returned.
 *
 * @returns the manifest, and the text of its document.
 * @throws MANIFEST_INVALID with line and column if it is not JSON, otherwise with the path of the first bad field.
 * @see docs/rules.md A13
 */
export function parseManifest(bytes: Uint8Array): { readonly manifest: ImageManifest; readonly text: string } {
  const json = parseJsonStrict(bytes, { revival, dataOf: ['userLabels', 'userAnnotations'] });
  if (!json.ok) {
    const { line, column } = json.fault;
    const details = line === undefined || column === undefined ? {} : { line, column };
    throw new ImageError('MANIFEST_INVALID', `the manifest ${describeJsonFault(json.fault)}`, details);
  }
  const shaped = checkShape(manifestSchema, json.value);
  if (!shaped.ok) throw invalid(shaped.faults);

  const { acVersion, name, pathWhitelist } = shaped.value;
  const labels = toLabels(shaped.value.labels);
  const dependencies = shaped.value.dependencies.map(({ imageName, imageID, labels, size }): Dependency => ({
    imageName,
    labels: toLabels(labels.filter(({ name, value }) => name !== 'version' || value !== '')),
    ...(imageID != null && { imageId: imageID }),
    ...(size && { size }), // 0 means unknown and is left out
  }));
  return { manifest: { acVersion, name, labels, dependencies, pathWhitelist }, text: json.text };
}

const canonicalKeys: ReadonlyMap<string, string> = new Map(manifestKeys.map((key) => [foldKey(key), key]));

const isInteger = (source: string): boolean => /^-?\d+$/.test(source);

/**
 * Changes known keys to the case of the specification, at any depth. Values are only checked, not kept, so changing a
 * key of a free-form object does no harm. A number that is not written as an integer becomes a string, which the schema
 * refuses.
 */
const revival = {
  hasKey: (key: string): boolean => canonicalKey(key) !== key,
  hasNumber: (source: string): boolean => !isInteger(source),
  revive: (_key: string, value: unknown, { source }: { readonly source?: string }): unknown => {
    if (typeof value === 'number') return source === undefined || isInteger(source) ? value : source;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [canonicalKey(key), member]));
  },
};

function canonicalKey(key: string): string {
  return canonicalKeys.get(foldKey(key)) ?? key;
}

function toLabels(list: readonly { readonly name: string; readonly value: string }[]): Labels {
  return new Map(list.map(({ name, value }) => [name, value]));
}

function invalid(all: readonly Fault[]): ImageError<'MANIFEST_INVALID'> {
  const faults = all.slice(0, maxFaultsShown).map(formatFault);
  if (all.length > faults.length) faults.push(`and ${all.length - faults.length} faults more`);
  const field = all[0]?.field ?? '';
  return new ImageError('MANIFEST_INVALID', `bad manifest: ${faults.join('; ')}`, field === '' ? {} : { field });
}
