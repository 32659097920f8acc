import type { SettingResult } from './result.ts';

const [width, rowHeight, left, right] = [720, 34, 170, 90];

/** The settings as bars of an SVG: the median, a line from the shortest round to the longest, the best one in another colour. */
export function chart(settings: readonly SettingResult[], best: Pick<SettingResult, 'jobs' | 'workers'>): string {
  const longest = Math.max(...settings.map(({ seconds }) => seconds.max));
  const x = (seconds: number): string =>
    (left + (longest > 0 ? seconds / longest : 0) * (width - left - right)).toFixed(1);
  const bars = settings.map(({ jobs, workers, seconds }, index) => {
    const [top, middle] = [index * rowHeight + 6, index * rowHeight + rowHeight / 2];
    const kind = jobs === best.jobs && workers === best.workers ? 'best' : 'bar';
    const length = (Number(x(seconds.median)) - left).toFixed(1);
    return [
      `<text x="${left - 8}" y="${middle + 5}" text-anchor="end">jobs ${jobs}, workers ${workers}</text>`,
      `<rect class="${kind}" x="${left}" y="${top}" width="${length}" height="${rowHeight - 12}" rx="3"/>`,
      `<path d="M${x(seconds.min)} ${middle}H${x(seconds.max)}"/>`,
      `<text x="${Number(x(seconds.max)) + 8}" y="${middle + 5}">${seconds.median.toFixed(2)} s</text>`,
    ].join('');
  });
  const height = settings.length * rowHeight;
  return `<svg class="bench" viewBox="0 0 ${width} ${height}" role="img" aria-label="Seconds of each setting">${bars.join('\n')}</svg>`;
}
