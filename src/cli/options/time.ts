import { show } from '../../index.ts';
import { usageError } from './usage-error.ts';

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** Timers hold 31 bits; a longer wait would fire at once. */
const longestMs = 2 ** 31 - 1;

/** A number with ms, s, m or h. @returns milliseconds, at least 1 and at most `most`. @throws USAGE */
export function parseTime(text: string, option: string, most = longestMs): number {
  const [, digits, unit = ''] = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)$/i.exec(text) ?? [];
  const timeMs = Math.round(Number(digits) * (units[unit.toLowerCase()] ?? NaN));
  if (!(timeMs >= 1)) throw usageError(`want a number with ms, s, m or h, got "${show(text)}"`, option);
  if (timeMs > most) throw usageError(`"${show(text)}" is over the longest time, ${most} ms`, option);
  return timeMs;
}
