import { show } from '../../index.ts';
import { usageError } from './usage-error.ts';

/** A whole number of things, `least` or more. @throws USAGE */
export function parseCount(text: string, option: string, least = 1): number {
  const count = /^[0-9]{1,9}$/.test(text) ? Number(text) : NaN;
  if (!(count >= least)) throw usageError(`want a whole number from ${least}, got "${show(text)}"`, option);
  return count;
}
