import { defaultLimits, defaultTimeouts, show, type Limits, type Timeouts } from '../../index.ts';
import { kebab, splitNamedValue } from './named-value.ts';
import { parseSize } from './size.ts';
import { parseTime } from './time.ts';
import { usageError } from './usage-error.ts';

type Parse = (text: string, option: string) => number;

/** `--limit NAME=VALUE`, given any number of times; the last value of a name wins. @throws USAGE */
export function parseLimits(texts: readonly string[], option: string): Partial<Limits> {
  return parseNamed(texts, option, defaultLimits, (name) => (name === 'retryAfter' ? parseTime : parseSize));
}

/** `--timeout NAME=TIME`, given any number of times; the last value of a name wins. @throws USAGE */
export function parseTimeouts(texts: readonly string[], option: string): Partial<Timeouts> {
  return parseNamed(texts, option, defaultTimeouts, () => parseTime);
}

function parseNamed<K extends string>(
  texts: readonly string[],
  option: string,
  known: Readonly<Record<K, number>>,
  parserOf: (name: K) => Parse,
): Partial<Record<K, number>> {
  const names = new Map(keysOf(known).map((name) => [kebab(name), name]));
  const values: Partial<Record<K, number>> = {};
  for (const text of texts) {
    const { name, value } = splitNamedValue(text, option);
    const key = names.get(name);
    if (key === undefined) {
      throw usageError(`no such name "${show(name)}"; there are ${[...names.keys()].join(', ')}`, option);
    }
    values[key] = parserOf(key)(value, `${option} ${name}`);
  }
  return values;
}

// Object.keys forgets the keys' type; the tables it is given here are our own and exact.
function keysOf<K extends string>(record: Readonly<Record<K, unknown>>): readonly K[] {
  return Object.keys(record) as K[];
}
