import { formatTime, timeTicks } from '../format.ts';
import { create } from './dom.ts';
import { isWork, type TimeRange } from './rows.ts';
import type { TreeRow } from './view.ts';

/** The time in which the rows were active, with a margin. */
export function rangeOf(rows: readonly TreeRow[], durationMs: number): TimeRange {
  const spans = rows.flatMap(({ item }) => item.spans.filter(isWork));
  if (spans.length === 0) return { fromMs: 0, toMs: Math.max(1, durationMs) };
  const fromMs = Math.min(...spans.map((span) => span.fromMs));
  const toMs = Math.max(...spans.map((span) => span.toMs));
  const room = Math.max(1, (toMs - fromMs) * 0.04);
  return { fromMs: Math.max(0, fromMs - room), toMs: toMs + room };
}

/** Draws times above the rows, and lines through them. */
export function drawTicks(ticks: HTMLElement, scroller: HTMLElement, { fromMs, toMs }: TimeRange): void {
  const times = timeTicks(fromMs, toMs, Math.max(2, ticks.clientWidth / 110));
  const share = (ms: number): number => (ms - fromMs) / Math.max(1e-6, toMs - fromMs);
  ticks.replaceChildren(
    ...times.map((ms) => {
      const tick = create('span', 'tick', ms === 0 ? '0' : formatTime(ms));
      tick.style.left = `${share(ms) * 100}%`;
      return tick;
    }),
  );
  const [first = 0, second = first] = times;
  const step = second > first ? (share(second) - share(first)) * ticks.clientWidth : 1e5;
  scroller.style.setProperty('--tick', `${step}px`);
  scroller.style.setProperty('--shift', `${share(first) * ticks.clientWidth}px`);
}
