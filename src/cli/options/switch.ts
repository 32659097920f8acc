import { show } from '../../index.ts';
import { usageError } from './usage-error.ts';

const on = new Set(['1', 'true', 'yes', 'on']);
const off = new Set(['', '0', 'false', 'no', 'off']);

/** @throws USAGE for anything but 1, true, yes, on and 0, false, no, off. */
export function parseSwitch(text: string, option: string): boolean {
  const word = text.toLowerCase();
  if (on.has(word)) return true;
  if (off.has(word)) return false;
  throw usageError(`want 1, true, yes, on or 0, false, no, off, got "${show(text)}"`, option);
}
