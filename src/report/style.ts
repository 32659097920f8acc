/**
 * Pairs of colours, light and dark. Phases also differ in lightness, so they can be distinguished without seeing the
 * hue.
 */
const palette = `
:root { color-scheme: light dark; interpolate-size: allow-keywords;
  --ground: light-dark(#ffffff, #14171b); --panel: light-dark(#f6f7f9, #1c2026); --raised: light-dark(#ffffff, #262b33);
  --text: light-dark(#1b1f24, #e4e7eb); --muted: light-dark(#5b6673, #98a3b0); --line: light-dark(#e1e5ea, #2e343d);
  --rule: light-dark(#eceff2, #22272e); --accent: light-dark(#1f5fc4, #78aaff); --chosen: light-dark(#e3edfb, #22344f);
  --wait: light-dark(#c3cad3, #4b5663); --resolve: light-dark(#e8a838, #e0ad4a); --download: light-dark(#3a7bd5, #5a9bf0);
  --verify: light-dark(#7d4bb5, #ae86e4); --commit: light-dark(#15806a, #3fb795); --needs: light-dark(#9aa5b1, #6b7683);
  --good: light-dark(#15713f, #54c58a); --bad: light-dark(#c0281f, #ff7b6e); --odd: light-dark(#8a5a00, #dca94f); }`;

const text = `
* { box-sizing: border-box; }
body { margin: 0; font: 14px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; color: var(--text);
  background: var(--ground); -webkit-text-size-adjust: 100%; }
header, main { max-width: 1760px; margin: 0 auto; padding: 0 clamp(12px, 2.5vw, 40px); }
header { padding-top: 28px; } main { padding-bottom: 48px; }
h1 { font-size: 22px; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 15px; margin: 36px 0 10px; }
header p { margin: 4px 0 0; color: var(--muted); } small { color: var(--muted); font-size: 12px; }
.note, .more { color: var(--muted); margin: 0 0 8px; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
[hidden] { display: none !important; }`;

const summary = `
.verdict { font-size: 18px; margin: 20px 0 10px; } .verdict.good { color: var(--good); } .verdict.bad { color: var(--bad); }
.shares { display: block; border-radius: 5px; overflow: hidden; }
.shares rect { fill: var(--muted); } .shares :is(.status-fetched, .status-pushed) { fill: var(--good); }
.shares :is(.status-present, .status-planned, .status-skipped) { fill: color-mix(in srgb, var(--good) 45%, var(--ground)); }
.shares .status-failed { fill: var(--bad); } .shares .status-cancelled { fill: var(--needs); }
ul.counts, ul.legend { list-style: none; margin: 8px 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 4px 20px; }
.mark { font-style: normal; font-weight: 700; display: inline-block; width: 1.4em; text-align: center; }
:is(.status-fetched, .status-pushed) .mark { color: var(--good); } :is(.status-present, .status-planned, .status-skipped) .mark { color: var(--muted); }
.status-failed .mark, .status-failed .error { color: var(--bad); }
.status-cancelled .mark, .status-open .mark { color: var(--odd); }
.numbers { display: flex; flex-wrap: wrap; gap: 1px; margin: 20px 0 0;
  background: var(--line); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.numbers div { flex: 1 1 118px; background: var(--panel); padding: 10px 14px; } .numbers dt { color: var(--muted); font-size: 12px; }
.numbers dd { margin: 0; font-size: 19px; font-variant-numeric: tabular-nums; white-space: nowrap; }
.numbers small { display: block; }`;

const charts = `
figure { margin: 0; position: relative; border: 1px solid var(--line); border-radius: 8px; background: var(--panel); }
.chart { display: block; overflow: visible; } .chart + .chart { margin-top: 10px; } .axis { display: block; overflow: visible; }
figure > svg:first-child { margin-top: 6px; } .axis { margin: 2px 0 4px; }
.chart text, .axis text { font-size: 11px; fill: var(--text); paint-order: stroke; stroke: var(--panel); stroke-width: 3px; }
.chart .what { fill: var(--text); } .rule { stroke: var(--line); } .base { stroke: var(--needs); }
.fill-wait { fill: var(--wait); background: var(--wait); } .fill-resolve { fill: var(--resolve); background: var(--resolve); }
.fill-download { fill: var(--download); background: var(--download); }
.fill-verify { fill: var(--verify); background: var(--verify); } .fill-commit { fill: var(--commit); background: var(--commit); }
.fill-needs { background: repeating-linear-gradient(to right, var(--needs) 0 2px, transparent 2px 5px) center / 100% 2px no-repeat; }
.swatch { display: inline-block; width: 14px; height: 10px; border-radius: 2px; margin-right: 6px; }
.legend { color: var(--muted); font-size: 13px; } .legend b { color: var(--text); font-weight: 600; } .legend small::before { content: " · "; }
.cursor { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--text); pointer-events: none; opacity: .6; }
.readout { min-height: 1.6em; margin: 6px 0 0; font-variant-numeric: tabular-nums; color: var(--muted); }`;

const tools = `
.tools { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; position: sticky; top: 0; z-index: 4; padding: 8px 0;
  background: var(--ground); }
.tools input[type=search] { flex: 1 1 200px; max-width: 420px; min-width: 0; }
input, select, button { font: inherit; color: inherit; }
.tools input, .tools select, .tools button { border: 1px solid var(--line); border-radius: 6px; background: var(--panel); height: 32px;
  padding: 0 10px; }
.tools button { cursor: pointer; } .tools button:hover { border-color: var(--needs); }
.tools button[aria-pressed=true] { background: var(--chosen); border-color: var(--accent); }
.tools label { display: flex; gap: 6px; align-items: center; color: var(--muted); } .tools label select { color: var(--text); }
.tools .found { color: var(--muted); margin-left: auto; font-variant-numeric: tabular-nums; }`;

const waterfall = `
.split { display: grid; grid-template-columns: minmax(0, 1fr); gap: 12px; }
.fall { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; background: var(--panel); --label: clamp(128px, 32%, 400px); }
.overview { position: relative; height: 92px; border-bottom: 1px solid var(--line); cursor: pointer; touch-action: none; }
.overview canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
.overview .view { position: absolute; border: 1.5px solid var(--text); border-radius: 2px; background: color-mix(in srgb, var(--text) 9%, transparent);
  pointer-events: none; min-height: 3px; }
.times { display: flex; height: 24px; border-bottom: 1px solid var(--line); color: var(--muted); font-size: 11px; line-height: 24px;
  scrollbar-gutter: stable; overflow: hidden; }
.times .label { flex: 0 0 var(--label); padding-left: 10px; } .times .lane { position: relative; flex: 1; }
.times .tick { position: absolute; transform: translateX(-50%); white-space: nowrap; } .times .tick:first-child { transform: none; }
.rows { position: relative; overflow-y: auto; scrollbar-gutter: stable; contain: strict; }
.rows:focus-visible { outline-offset: -2px; }
.row { position: absolute; left: 0; right: 0; height: 24px; display: flex; align-items: stretch; cursor: default; }
.row:hover { background: color-mix(in srgb, var(--text) 5%, transparent); } .row[aria-selected=true] { background: var(--chosen); }
.row > .label { flex: 0 0 var(--label); display: flex; align-items: center; min-width: 0; padding-right: 8px; white-space: nowrap; }
.row.context > .label { opacity: .55; }
.fold { flex: 0 0 20px; height: 20px; padding: 0; border: 0; background: none; color: var(--muted); cursor: pointer; font-size: 10px; }
.fold:hover { color: var(--text); } .row .mark { flex: 0 0 1.4em; }
.name { display: flex; min-width: 0; } .name .head { flex: 0 1 auto; min-width: 2.2em; overflow: hidden; text-overflow: ellipsis; color: var(--muted); }
.name .head:empty { display: none; } .name .head:empty + .tail { max-width: 100%; }
.name .tail { flex: 0 0 auto; max-width: calc(100% - 2.2em); overflow: hidden; text-overflow: ellipsis; }
.hidden-count { color: var(--muted); font-size: 11px; margin-left: 6px; }
.row > .lane { position: relative; flex: 1; overflow: hidden; border-left: 1px solid var(--line);
  background: repeating-linear-gradient(to right, var(--line) 0 1px, transparent 1px var(--tick, 100%)) var(--shift, 0) 0; }
.span { position: absolute; top: 5px; height: 14px; min-width: 1.5px; } .span.fill-wait { top: 10px; height: 4px; }
.span.fill-needs { top: 11px; height: 2px; }
.row .end, .row .again { position: absolute; top: 3px; height: 18px; line-height: 18px; font-style: normal; font-weight: 700; font-size: 12px; }
.row .end { margin-left: 4px; } .status-failed .end { color: var(--bad); } .status-cancelled .end, .status-open .end { color: var(--odd); }
.span.broken { background-image: repeating-linear-gradient(135deg, transparent 0 4px, color-mix(in srgb, var(--panel) 60%, transparent) 4px 7px);
  outline: 1.5px solid var(--bad); outline-offset: -1.5px; min-width: 4px; } .status-cancelled .broken, .status-open .broken { outline: 1.5px dashed var(--odd); }
.row .again { width: 12px; margin-left: -6px; text-align: center; color: var(--text); text-shadow: 0 0 2px var(--ground), 0 0 2px var(--ground), 0 0 3px var(--ground); }
.narrow .row { flex-wrap: wrap; height: 42px; border-bottom: 1px solid var(--rule); } .narrow .row > .label { flex: 0 0 100%; height: 20px; }
.narrow .row > .lane { flex: 0 0 100%; height: 21px; border-left: 0; } .narrow .times > .label { display: none; }
.narrow .span { top: 3px; } .narrow .span.fill-wait { top: 8px; } .narrow .span.fill-needs { top: 9px; } .narrow .end, .narrow .again { top: 1px !important; }
.none { padding: 24px; color: var(--muted); text-align: center; }`;

const detail = `
.detail { border: 1px solid var(--line); border-radius: 8px; background: var(--panel); padding: 12px 14px; overflow-wrap: anywhere; }
.detail h3 { font-size: 14px; margin: 0 28px 8px 0; } .detail .hint { color: var(--muted); margin: 0; }
.facts { display: grid; grid-template-columns: auto 1fr; gap: 2px 12px; margin: 0; } .facts dt { color: var(--muted); }
.facts dd { margin: 0; font-variant-numeric: tabular-nums; } .facts .error { color: var(--bad); }
.close { float: right; border: 0; background: none; cursor: pointer; font-size: 16px; padding: 0 4px; color: var(--muted); }
.tip { position: fixed; z-index: 9; max-width: min(440px, 92vw); pointer-events: none; background: var(--raised); border: 1px solid var(--line);
  border-radius: 8px; padding: 8px 12px; box-shadow: 0 6px 24px rgb(0 0 0 / .22); font-size: 13px; overflow-wrap: anywhere; }
.tip b { display: block; margin-bottom: 4px; }
@media (min-width: 1180px) { .split { grid-template-columns: minmax(0, 1fr) 330px; } .detail { align-self: start; position: sticky; top: 56px; max-height: 82vh;
  overflow-y: auto; } .close { display: none; } }
@media (max-width: 1179px) { .detail { position: fixed; left: 8px; right: 8px; bottom: 8px; max-height: 44vh; overflow-y: auto; z-index: 8;
  background: var(--raised); box-shadow: 0 6px 24px rgb(0 0 0 / .3); } .detail:has(.hint) { display: none; } }`;

const table = `
.scroll { overflow: auto; border: 1px solid var(--line); border-radius: 8px; max-height: 640px; contain: content; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th { position: sticky; top: 0; background: var(--panel); text-align: left; z-index: 2; white-space: nowrap; box-shadow: inset 0 -1px var(--line); font-weight: 600; }
th, td { padding: 0 10px; height: 28px; } td { white-space: nowrap; max-width: 420px; overflow: hidden; text-overflow: ellipsis; }
tbody tr:not(.gap) { height: 28px; } tbody tr:hover { background: color-mix(in srgb, var(--text) 5%, transparent); }
tbody tr[aria-selected=true] { background: var(--chosen); } tr.gap td { height: inherit; padding: 0; border: 0; }
th button { border: 0; background: none; padding: 0; font-weight: 600; cursor: pointer; } th button::after { content: " ↕"; color: var(--muted); opacity: .5; }
th[aria-sort=ascending] button::after { content: " ↑"; opacity: 1; } th[aria-sort=descending] button::after { content: " ↓"; opacity: 1; }
td:last-child { color: var(--bad); max-width: 640px; } .warnings { margin: 0; padding-left: 20px; }
.scripted td { max-width: none; } .scripted table { table-layout: fixed; min-width: 980px; }
.scripted th:nth-child(1) { width: 104px; } .scripted th:nth-child(n+3):nth-child(-n+6) { width: 84px; }
.scripted th:nth-child(7) { width: 13%; } .scripted th:nth-child(8) { width: 24%; }
.bar { fill: var(--wait); } .best { fill: var(--commit); } .bench { width: 100%; max-width: 860px; height: auto; } .bench text { font-size: 14px; fill: var(--text); }
.bench path { stroke: var(--text); stroke-width: 2; } pre { overflow-x: auto; font-size: 12.5px; line-height: 1.5; }`;

const print = `
@media print { .tools, .detail, .tip, .overview, .cursor, .readout { display: none !important; } .scroll { max-height: none; overflow: visible; }
  body { font-size: 11px; } section { break-inside: avoid-page; } #table { break-inside: auto; } th { position: static; }
  .span, .swatch, .shares rect, path, .numbers div { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }`;

/** The complete style of the page. */
export const style = [palette, text, summary, charts, tools, waterfall, detail, table, print].join('');
