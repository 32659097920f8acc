import { show } from '../../index.ts';
import { usageError } from '../options/usage-error.ts';

/** A parser that takes one of the words given. @throws USAGE */
export function oneOf<const T extends string>(words: readonly T[]): (text: string, option: string) => T {
  return (text, option) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw usageError(`want ${words.join(', ')}, got "${show(text)}"`, option);
    return found;
  };
}
