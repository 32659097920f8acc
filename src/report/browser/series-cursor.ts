import { phases } from '../../measure/phases.ts';
import { phaseName, type ReportData } from '../data.ts';
import { formatBytes, formatNumber, formatTime } from '../format.ts';
import { create } from './dom.ts';

/** Shows the values of the charts at the pointer, or at a position moved by the arrow keys. */
export function readOutSeries(figure: HTMLElement, { series, durationMs, isPush }: ReportData): void {
  const cursor = create('div', 'cursor');
  cursor.hidden = true;
  const hint = 'Point at the charts to read them, or go along them with the arrow keys.';
  const readout = create('p', 'readout', hint);
  readout.role = 'status';
  figure.append(cursor);
  figure.after(readout);
  figure.tabIndex = 0;
  figure.ariaLabel = 'Charts over time';
  const last = series.bytesPerSecond.length - 1;
  let slice = -1;

  const show = (next: number): void => {
    slice = Math.min(last, Math.max(0, next));
    const atMs = Math.min(durationMs, (slice + 0.5) * series.sliceMs);
    cursor.hidden = false;
    cursor.style.left = `${(atMs / Math.max(1, durationMs)) * 100}%`;
    const counts = phases
      .map((phase, at) => [phase, series.images[at]?.[slice] ?? 0] as const)
      .filter(([, count]) => count >= 0.05)
      .map(([phase, count]) => `${phaseName(phase, isPush)} ${formatNumber(count, 1)}`);
    const rate = `${formatBytes(series.bytesPerSecond[slice] ?? 0)}/s`;
    readout.textContent = [`at ${formatTime(atMs)}`, ...counts, rate].join(' · ');
  };
  figure.addEventListener('pointermove', ({ clientX }) => {
    const { left, width } = figure.getBoundingClientRect();
    show(Math.floor((((clientX - left) / width) * durationMs) / series.sliceMs));
  });
  const hide = (): void => {
    cursor.hidden = true;
    readout.textContent = hint;
    slice = -1;
  };
  figure.addEventListener('pointerleave', hide);
  figure.addEventListener('blur', hide);
  figure.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 24, PageUp: -24, Home: -last - 1, End: last + 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(slice < 0 ? 0 : slice + step);
  });
}
