const gap = '  ';

/**
 * Formats rows of cells as lines with aligned columns. Cells must be safe to display; columns in `right` are aligned to
 * the right.
 */
export function formatTable(rows: readonly (readonly string[])[], right: ReadonlySet<number> = new Set()): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        right.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join(gap)
      .trimEnd();
  return rows.map((row) => `${line(row)}\n`).join('');
}

const unsafe = /[\x7f-\x9f\p{Bidi_Control}\p{Zl}\p{Zp}]/gu;

/**
 * Makes a JSON document safe for a terminal: control characters in strings become `\u…`, and a carriage return between
 * values becomes a space. The meaning is the same.
 *
 * @see docs/rules.md A14
 */
export function safeJson(text: string): string {
  const spaced = text.replaceAll('\r', ' ');
  return spaced.replace(unsafe, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

export function toSafeJson(value: unknown): string {
  return safeJson(JSON.stringify(value));
}
