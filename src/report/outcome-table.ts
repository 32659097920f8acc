import { columns, type ReportData, type Row, statuses, statusMarks, timesOf } from './data.ts';
import { formatBytes, formatTime } from './format.ts';
import { escapeHtml } from './html.ts';

/** The rows that are readable without the page's script. */
const mostRows = 200;

/** The table of outcomes, which the page's script makes sortable and completes. */
export function outcomeTable({ rows, signers }: ReportData): string {
  const head = columns.map((column) => `<th scope="col">${column}</th>`).join('');
  const body = rows.slice(0, mostRows).map((row) => tableRow(row, signers));
  const more = rows.length > mostRows ? `<p class="more">These are the first ${mostRows} of ${rows.length}.</p>` : '';
  return `<div class="scroll" id="outcomes"><table><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table></div>${more}`;
}

function tableRow(row: Row, signers: readonly string[]): string {
  const [reference, , statusAt, spans, , retries, bytes, , , , , signedBy, error] = row;
  const status = statuses[statusAt] ?? 'open';
  const { workMs, waitMs } = timesOf(spans);
  const cells = [
    `<td class="status-${status}"><i class="mark">${statusMarks[status]}</i>${status}</td>`,
    `<td>${escapeHtml(reference)}</td>`,
    `<td class="number">${bytes > 0 ? formatBytes(bytes) : ''}</td>`,
    `<td class="number">${formatTime(workMs)}</td>`,
    `<td class="number">${formatTime(waitMs)}</td>`,
    `<td class="number">${retries > 0 ? retries : ''}</td>`,
    `<td>${escapeHtml(signedBy.map((at) => signers[at] ?? '').join('; '))}</td>`,
    `<td>${escapeHtml(error)}</td>`,
  ];
  return `<tr>${cells.join('')}</tr>`;
}
