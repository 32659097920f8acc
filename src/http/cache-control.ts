import { headerList, headerOf, wholeNumber } from './headers.ts';
import type { Headers } from './types.ts';

const directive = /([!#$%&'*+\-.^_`|~0-9a-z]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]*))?/gi;

/** However long a max-age is: what was once answered, perhaps by mistake, is asked for again after a week. */
export const longestFreshMs = 7 * 86_400_000;

/**
 * How long an answer is fresh, in milliseconds, counted from now, at most a week; 0 when nothing is said. `no-store` and
 * `no-cache` win wherever they stand; the smallest of several max-ages counts; what is malformed is ignored.
 *
 * @see RFC 9111 4.2, 5.2
 */
export function maxAgeMs(headers: Headers): number {
  let seconds: number | undefined;
  for (const [, name = '', value] of headerList(headers, 'cache-control').matchAll(directive)) {
    if (/^no-(store|cache)$/i.test(name)) return 0;
    const age = /^max-age$/i.test(name) ? wholeNumber(value?.replace(/^"(.*)"$/, '$1')) : undefined;
    if (age !== undefined) seconds = Math.min(age, seconds ?? Infinity);
  }
  const spent = wholeNumber(headerOf(headers, 'age')) ?? 0;
  return Math.min(1000 * Math.max(0, (seconds ?? 0) - spent), longestFreshMs);
}
