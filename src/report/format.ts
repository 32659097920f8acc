const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `0 B`, `512 B`, `1.5 MiB`: at most three digits. */
export function formatBytes(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${formatNumber(value, unit === 0 ? 0 : 1)} ${units[unit] ?? ''}`;
}

/** `0 ms`, `320 ms`, `1.25 s`, `12.3 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatTime(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** With spaces between thousands, and decimals only below a hundred. */
export function formatNumber(value: number, digits = 0): string {
  const text = value.toFixed(value < 99.95 ? digits : 0);
  const [whole = '', rest] = text.split('.');
  const grouped = whole.replaceAll(/\B(?=(\d{3})+$)/g, '\u202f');
  return rest === undefined || /^0+$/.test(rest) ? grouped : `${grouped}.${rest}`;
}

const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000];

/** Round times in a range, at most so many. */
export function timeTicks(fromMs: number, toMs: number, maxCount: number): readonly number[] {
  const span = Math.max(1, toMs - fromMs);
  const step = steps.find((size) => span / size <= maxCount) ?? Math.ceil(span / maxCount / 600_000) * 600_000;
  const first = Math.ceil(fromMs / step);
  return Array.from({ length: Math.max(0, Math.floor(toMs / step) - first + 1) }, (_, index) => (first + index) * step);
}

/** The next round number that is not smaller: at most two digits followed by zeros. */
export function roundUp(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8].find((factor) => factor * power >= value) ?? 10) * power;
}
