const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

const units = [
  { unit: 'year', ms: 365 * day },
  { unit: 'month', ms: 30 * day },
  { unit: 'day', ms: day },
  { unit: 'hour', ms: hour },
  { unit: 'minute', ms: minute },
  { unit: 'second', ms: second },
] as const;

const format = new Intl.RelativeTimeFormat('en');

/** A moment as people say it: `6 days ago`, `just now`. Both times are milliseconds since the epoch. */
export function relativeTime(atMs: number, nowMs: number): string {
  const distance = Math.abs(atMs - nowMs);
  const found = units.find(({ ms }) => distance >= ms);
  return found ? format.format(Math.trunc((atMs - nowMs) / found.ms), found.unit) : 'just now';
}
