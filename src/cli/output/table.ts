const gap = '  ';

/** Rows of cells as lines with aligned columns. Cells are shown text already; columns named in `right` end flush. */
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
 * A JSON document that a terminal can be given: what JSON leaves unescaped inside strings but a terminal may obey becomes
 * `\u…`, and a carriage return between values a space. Both mean the same.
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
