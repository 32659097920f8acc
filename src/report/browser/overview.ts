import { phases } from '../../measure/phases.ts';
import { create, oncePerFrame } from './dom.ts';
import { isWork, type TimeRange } from './rows.ts';
import type { TreeRow } from './view.ts';

export type Overview = {
  readonly element: HTMLElement;
  /** Draws all rows. */
  draw(rows: readonly TreeRow[]): void;
  /** Marks the visible part: shares of the rows, and a range of time. */
  mark(from: number, to: number, range: TimeRange): void;
};

/**
 * All rows in a small picture, as an overview of the long list below. @param onSeek - called with the share of the rows
 * to go to
 */
export function createOverview(durationMs: number, onSeek: (share: number) => void): Overview {
  const canvas = create('canvas');
  const view = create('div', 'view');
  const element = create('div', 'overview', canvas, view);
  element.ariaHidden = 'true'; // everything in it is also available below, by keyboard, too
  let rows: readonly TreeRow[] = [];

  const paint = oncePerFrame(() => paintRows(canvas, rows, durationMs));
  new ResizeObserver(paint).observe(element);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', paint);

  const seek = ({ clientY }: PointerEvent): void => {
    const { top, height } = element.getBoundingClientRect();
    onSeek(Math.min(1, Math.max(0, (clientY - top) / height)));
  };
  element.addEventListener('pointerdown', (event) => {
    element.setPointerCapture(event.pointerId);
    seek(event);
  });
  element.addEventListener('pointermove', (event) => {
    if (element.hasPointerCapture(event.pointerId)) seek(event);
  });

  return {
    element,
    draw(all) {
      rows = all;
      paint();
    },
    mark(from, to, { fromMs, toMs }) {
      const total = Math.max(1, durationMs);
      view.style.top = `${from * 100}%`;
      view.style.height = `${(to - from) * 100}%`;
      view.style.left = `${(fromMs / total) * 100}%`;
      view.style.width = `${((Math.min(toMs, total) - fromMs) / total) * 100}%`;
    },
  };
}

function paintRows(canvas: HTMLCanvasElement, rows: readonly TreeRow[], durationMs: number): void {
  const context = canvas.getContext('2d');
  if (!context || canvas.clientWidth === 0) return;
  const density = window.devicePixelRatio;
  const [width, height] = [canvas.clientWidth * density, canvas.clientHeight * density];
  canvas.width = width;
  canvas.height = height;
  const style = getComputedStyle(canvas);
  const colours = phases.map((phase) => resolved(canvas, style.getPropertyValue(`--${phase}`)));
  const bad = resolved(canvas, style.getPropertyValue('--bad'));
  const rowHeight = height / Math.max(1, rows.length);
  const bar = Math.max(density, rowHeight * 0.8);
  for (const [at, { item }] of rows.entries()) {
    const y = at * rowHeight;
    for (const { phase, fromMs, toMs } of item.spans.filter(isWork)) {
      const x = (fromMs / Math.max(1, durationMs)) * width;
      context.fillStyle = colours[phase] ?? bad;
      context.fillRect(x, y, Math.max(density, ((toMs - fromMs) / Math.max(1, durationMs)) * width), bar);
    }
  }
  context.fillStyle = bad;
  for (const [at, { item }] of rows.entries()) {
    if (item.status !== 'failed') continue;
    const endMs = item.spans.at(-1)?.toMs ?? 0;
    context.fillRect(
      (endMs / Math.max(1, durationMs)) * width - 2 * density,
      at * rowHeight,
      4 * density,
      Math.max(3 * density, bar),
    );
  }
}

/** Resolves a colour, since a canvas does not support `light-dark()`. */
function resolved(within: HTMLElement, colour: string): string {
  const probe = create('i');
  probe.style.color = colour;
  within.after(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
