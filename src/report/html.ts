/** Escapes text for an element or a quoted attribute. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/** JSON for a script element: it cannot end the element, begin a comment, or contain a line break. */
export function embedJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[<>&\u007f-\u009f\u2028\u2029]/g, escapeUnit);
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** A table of texts. */
export type HtmlTable = { readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] };

/** A table with aligned numbers, which scrolls if it is wide. */
export function htmlTable({ head, rows }: HtmlTable): string {
  const titles = head.map((title) => `<th scope="col">${escapeHtml(title.toLowerCase())}</th>`).join('');
  const cell = (text: string): string => `<td class="number">${escapeHtml(text)}</td>`;
  const body = rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('');
  return `<div class="scroll"><table><thead><tr>${titles}</tr></thead><tbody>${body}</tbody></table></div>`;
}
