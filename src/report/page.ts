import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { extname } from 'node:path';

import { show } from '../image/show.ts';
import { columns, type ReportData, type Row, statuses, statusMarks, timesOf } from './data.ts';
import { formatBytes, formatNumber, formatTime } from './format.ts';
import { embedJson, escapeHtml } from './html.ts';
import { seriesCharts } from './series-chart.ts';
import { style } from './style.ts';
import { phaseLegend, summary, warningList } from './summary.ts';
import type { Timeline } from './timeline.ts';

/** The parts of a page other than the run. */
export type About = {
  readonly title: string;
  /** Facts about the run: command, program, machine. */
  readonly facts: readonly string[];
  /** Shown before the run; `html` is ours, with all outside text escaped. */
  readonly sections: readonly { readonly title: string; readonly html: string }[];
};

const rowsAtOnce = 500;

/**
 * A run as one page, piece by piece. The page contains everything it needs: its policy allows only this style and this
 * script, and forbids browsers to load anything.
 */
export function* reportPage(timeline: Timeline, { title: name, facts, sections }: About): Generator<string> {
  const title = show(name);
  const script = pageScript();
  const policy = `default-src 'none'; style-src ${sourceOf(style)}; script-src ${sourceOf(script)}; base-uri 'none'; form-action 'none'`;
  const when = timeline.startedAt.replace('T', ' ').replace(/\..*$/, ' UTC');
  yield `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<header><h1>${escapeHtml(title)}</h1><p>${[when, ...facts].map((fact) => escapeHtml(show(fact))).join(' · ')}</p></header>
<main>
`;
  for (const { title: heading, html } of sections) {
    yield `<section><h2>${escapeHtml(heading)}</h2>${html}</section>\n`;
  }
  yield `<section aria-label="Summary">${summary(timeline)}</section>
<section id="series"><h2>Over time</h2>
<figure>${seriesCharts(timeline.series, timeline.durationMs)}</figure>
${phaseLegend(timeline)}
</section>
<section id="images" hidden><h2>Images</h2>${leftOut(timeline)}</section>
<section id="table"><h2>Outcomes</h2>${outcomeTable(timeline)}</section>
${warningList(timeline)}
</main>
`;
  yield* data(timeline);
  yield `<script>${script}</script>\n</body>\n</html>\n`;
}

function leftOut({ rows, nodes }: Timeline): string {
  if (rows.length >= nodes) return '';
  const [shown, all] = [formatNumber(rows.length), formatNumber(nodes)];
  return `<p class="note">Of ${all} images, these are the ${shown} that failed or took longest; the charts are of all.</p>`;
}

function* data({ startedAt, durationMs, isPush, signers, series, rows }: Timeline): Generator<string> {
  const rest: Omit<ReportData, 'rows'> = { startedAt, durationMs, isPush, signers, series };
  yield `<script type="application/json" id="data">${embedJson(rest).slice(0, -1)},"rows":[`;
  for (let from = 0; from < rows.length; from += rowsAtOnce) {
    yield `${from > 0 ? ',' : ''}${embedJson(rows.slice(from, from + rowsAtOnce)).slice(1, -1)}`;
  }
  yield ']}</script>\n';
}

function sourceOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/** The rows that are readable without the page's script. */
const mostRows = 200;

/** The table of outcomes, which the page's script makes sortable and completes. */
function outcomeTable({ rows, signers }: ReportData): string {
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

/**
 * The page's script as one text: `browser/main`, preceded by all modules that it imports. The modules are simply
 * joined, so no two of them may declare the same name.
 */
function pageScript(): string {
  const main = new URL(`../report/browser/main${extname(import.meta.url)}`, import.meta.url);
  const texts: string[] = [];
  collect(main, new Set(), texts);
  return `"use strict";\n{\n${texts.join('\n')}}\n`;
}

function collect(url: URL, seen: Set<string>, texts: string[]): void {
  if (seen.has(url.href)) return;
  seen.add(url.href);
  const source = readFileSync(url, 'utf8');
  const text = url.href.endsWith('.ts') ? stripTypeScriptTypes(source) : source;
  const own = text.replaceAll(/^import\s[^;]*?from ['"](\.[^'"]+)['"];$/gm, (_, path: string) => {
    collect(new URL(path, url), seen, texts);
    return '';
  });
  texts.push(own.replaceAll(/^export (?=const|function)/gm, '').replaceAll(/\n\s*\n+/g, '\n'));
}
