import { show } from '../../index.ts';
import { usageError } from './usage-error.ts';

const units: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** Digits with an optional K, M or G, which are powers of 1024: bytes, or bytes a second. @throws USAGE */
export function parseSize(text: string, option: string): number {
  const [, digits, unit = ''] = /^([0-9]+)([KMG]?)$/i.exec(text) ?? [];
  const size = Number(digits) * (units[unit.toUpperCase()] ?? NaN);
  if (!Number.isSafeInteger(size)) {
    throw usageError(`want digits and an optional K, M or G, got "${show(text)}"`, option);
  }
  return size;
}

/** As a size, but not nothing: a rate of 0 would never end. @throws USAGE */
export function parseRate(text: string, option: string): number {
  const rate = parseSize(text, option);
  if (rate === 0) throw usageError('a rate of 0 would never end', option);
  return rate;
}
