import { chart } from '../../bench/chart.ts';
import type { BenchResult } from '../../bench/result.ts';
import { benchTable } from './bench-table.ts';

const style = `
:root { color-scheme: light dark; --text: light-dark(#1b1f24, #e6e8eb); --ground: light-dark(#fff, #14171a);
  --bar: light-dark(#9db4cf, #48627f); --best: light-dark(#2f7d4f, #4fb37b); }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
svg { width: 100%; height: auto; } svg text { font-size: 14px; fill: var(--text); }
.bar { fill: var(--bar); } .best { fill: var(--best); } svg path { stroke: var(--text); stroke-width: 2; }
pre { overflow-x: auto; }`;

/** One page with everything in it: a chart of the sweep, and the table. It loads and runs nothing. */
export function benchPage(result: BenchResult): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>longshore bench</title>
<style>${style}</style>
<h1>longshore bench</h1>
<p>Seconds of each setting: the median of its rounds, and a line from the shortest to the longest.</p>
${chart(result.settings, result.best)}
<pre>${escapeHtml(benchTable(result))}</pre>
</html>
`;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
