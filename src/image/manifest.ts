import { ImageError } from '../errors.ts';
import { foldKey, formatJsonFault, parseJsonStrict } from './json.ts';
import type { Labels } from './labels.ts';
import { describeIssue, manifestKeys, manifestSchema } from './manifest-schema.ts';
import { show } from './show.ts';

/** One entry of a manifest's `dependencies`. `imageId` may be a prefix-free whole ID or a shorter pin, as written. */
export type Dependency = {
  readonly imageName: string;
  readonly imageId?: string;
  readonly labels: Labels;
  /** Bytes of the uncompressed image. */
  readonly size?: number;
};

/** What longshore needs of an image manifest; the whole document is kept as text beside it. @see appc 3 */
export type ImageManifest = {
  readonly acVersion: string;
  readonly name: string;
  readonly labels: Labels;
  readonly dependencies: readonly Dependency[];
  readonly pathWhitelist: readonly string[];
};

const maxFaultsShown = 5;

/**
 * Parses and checks an image manifest, all of it, also the parts that are not returned.
 *
 * @returns the manifest, and its document as it stood.
 * @throws MANIFEST_INVALID with line and column where it is not JSON, otherwise with the path of the first bad field.
 * @see docs/rules.md A13
 */
export function parseManifest(bytes: Uint8Array): { readonly manifest: ImageManifest; readonly text: string } {
  const json = parseJsonStrict(bytes, { revive });
  if (!json.ok) {
    const { line, column } = json.fault;
    const details = line === undefined || column === undefined ? {} : { line, column };
    throw new ImageError('MANIFEST_INVALID', `the manifest is not JSON: ${formatJsonFault(json.fault)}`, details);
  }
  const { data, error } = manifestSchema.safeParse(json.value, { error: describeIssue });
  if (!data) throw invalid(error.issues);

  const { acVersion, name, pathWhitelist } = data;
  const labels = toLabels(data.labels);
  const dependencies = data.dependencies.map(({ imageName, imageID, labels, size }): Dependency => ({
    imageName,
    labels: toLabels(labels),
    ...(imageID != null && { imageId: imageID }),
    ...(size && { size }), // 0 is not written: it means unknown
  }));
  return { manifest: { acVersion, name, labels, dependencies, pathWhitelist }, text: json.text };
}

const canonicalKeys: ReadonlyMap<string, string> = new Map(manifestKeys.map((key) => [foldKey(key), key]));

/**
 * Known keys match in any case, wherever they stand: values are checked here and not kept, so it does no harm that a key
 * of a free-form object is changed with them. A number that is not written as an integer stays text, and is none.
 */
function revive(_key: string, value: unknown, { source }: { readonly source?: string }): unknown {
  if (typeof value === 'number') return source === undefined || /^-?\d+$/.test(source) ? value : source;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [canonicalKeys.get(foldKey(key)) ?? key, member]),
  );
}

function toLabels(list: readonly { readonly name: string; readonly value: string }[]): Labels {
  return new Map(list.map(({ name, value }) => [name, value]));
}

type Issue = { readonly path: readonly PropertyKey[]; readonly message: string };

function invalid(issues: readonly Issue[]): ImageError<'MANIFEST_INVALID'> {
  const faults = issues
    .slice(0, maxFaultsShown)
    .map(({ path, message }) => `${formatPath(path) || 'the document'} ${message}`);
  if (issues.length > faults.length) faults.push(`and ${issues.length - faults.length} faults more`);
  const field = formatPath(issues[0]?.path ?? []);
  return new ImageError('MANIFEST_INVALID', `bad manifest: ${faults.join('; ')}`, field === '' ? {} : { field });
}

function formatPath(path: readonly PropertyKey[]): string {
  return show(
    path
      .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
      .join('')
      .replace(/^\./, ''),
  );
}
