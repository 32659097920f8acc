import { type Phase, phases } from '../measure/phases.ts';
import type { Series } from './data.ts';
import { formatBytes, formatNumber, formatTime, roundUp, timeTicks } from './format.ts';

/** Phases in which an image uses the machine or the network, from the bottom up. */
const active: readonly Phase[] = ['commit', 'verify', 'download', 'resolve'];

type Layer = { readonly kind: string; readonly values: readonly number[] };
type Chart = {
  readonly label: string;
  readonly height: number;
  readonly layers: readonly Layer[];
  readonly format: (value: number) => string;
};

/** Charts of a run over time: waiting images, images in each phase, bytes a second. */
export function seriesCharts(series: Series, durationMs: number): string {
  const of = (phase: Phase): Layer => ({ kind: phase, values: series.images[phases.indexOf(phase)] ?? [] });
  const count = (value: number): string => formatNumber(value, 1);
  const charts: readonly Chart[] = [
    { label: 'images at work', height: 150, layers: active.map(of), format: count },
    { label: 'images that wait', height: 56, layers: [of('wait')], format: count },
    {
      label: 'bytes a second',
      height: 90,
      layers: [{ kind: 'download', values: series.bytesPerSecond }],
      format: (value) => `${formatBytes(value)}/s`,
    },
  ];
  const shown = charts.map((chart) => drawChart(chart, series.sliceMs, durationMs)).join('');
  return `${shown}${timeAxis(durationMs)}`;
}

/** Only the picture is stretched to the width of the page, not its text. */
function drawChart({ label, height, layers, format }: Chart, sliceMs: number, durationMs: number): string {
  const slices = Math.max(...layers.map(({ values }) => values.length));
  const sums = Array.from({ length: slices }, (_, at) =>
    layers.reduce((sum, { values }) => sum + (values[at] ?? 0), 0),
  );
  const top = roundUp(Math.max(...sums));
  const width = Math.max(1e-6, durationMs / sliceMs);
  const floor = new Float64Array(slices);
  const paths = layers.map(({ kind, values }) => {
    const lower = Array.from(floor);
    values.forEach((value, at) => (floor[at] = (floor[at] ?? 0) + value));
    const points = [...edge(floor, width), ...edge(lower, width).reverse()];
    const path = points.map(([x, value]) => `${number(x)} ${number(100 - (value / top) * 100)}`).join('L');
    return `<path class="fill-${kind}" d="M${path}Z"/>`;
  });
  const box = `viewBox="0 0 ${number(width)} 100" preserveAspectRatio="none"`;
  return [
    `<svg class="chart" width="100%" height="${height}" role="img" aria-label="${label} over time">`,
    `<line class="rule" x1="0" x2="100%" y1="0.5" y2="0.5"/><line class="rule" x1="0" x2="100%" y1="50%" y2="50%"/>`,
    `<svg ${box} width="100%" height="100%">${paths.join('')}</svg>`,
    `<line class="base" x1="0" x2="100%" y1="100%" y2="100%"/>`,
    `<text x="6" y="15">${format(top)}</text><text class="what" x="100%" dx="-6" y="15" text-anchor="end">${label}</text>`,
    `</svg>`,
  ].join('');
}

/** A line through the middles of the slices, horizontal at both ends. */
function edge(values: ArrayLike<number>, width: number): [number, number][] {
  const middles = Array.from(values, (value, at): [number, number] => [Math.min(at + 0.5, width), value]);
  return [[0, values[0] ?? 0], ...middles, [width, values[values.length - 1] ?? 0]];
}

function timeAxis(durationMs: number): string {
  const ticks = timeTicks(0, durationMs, 5).map((ms) => {
    const share = durationMs > 0 ? ms / durationMs : 0;
    const anchor = share < 0.05 ? 'start' : share > 0.95 ? 'end' : 'middle';
    const inset = anchor === 'middle' ? 0 : anchor === 'start' ? 6 : -6;
    return `<text x="${number(share * 100)}%" dx="${inset}" y="14" text-anchor="${anchor}">${ms === 0 ? '0' : formatTime(ms)}</text>`;
  });
  return `<svg class="axis" width="100%" height="20" aria-hidden="true">${ticks.join('')}</svg>`;
}

function number(value: number): string {
  return String(Math.round(value * 100) / 100);
}
