import { imageRow, show, type Entry } from '../../index.ts';
import { sizeText } from './image-fields.ts';
import { safeJson, toSafeJson } from './json-text.ts';
import { formatTable } from './table.ts';
import { trustFact } from './trusted-now.ts';

/** A title, and what stands behind it. */
export type Line = readonly [title: string, value: string];

/** One document: the row of a list, more facts, and the manifest as it stands: parsed and written, numbers could change. */
export function formatEntryJson(entry: Entry, isTrusted: boolean, more: object, manifest: string): string {
  const row = { schema: 'longshore.image/1', ...imageRow(entry), ...trustFact(isTrusted), ...more };
  return `${toSafeJson(row).slice(0, -1)},"manifest":${safeJson(manifest.trim())}}\n`;
}

/** `before` stands between name and size, `after` at the end. */
export function formatEntryText(
  entry: Entry,
  isTrusted: boolean,
  before: readonly Line[],
  after: readonly Line[],
): string {
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
      ? [['Verified', 'no: brought in without a check of its signature'] as const]
      : verified.map((fingerprint): Line => [
          'Signed by',
          `${show(fingerprint)}${weak ? ' (weak key)' : ''}${isTrusted ? '' : ' (not trusted now)'}`,
        ])),
    ...after,
  ];
  return formatTable(lines.map(([title, value]) => [`${title}:`, value]));
}
