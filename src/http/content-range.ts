import { wholeNumber } from './headers.ts';

/** `start` and `end` are the first and the last byte; no `total` where the server says `*`. */
export type ContentRange = { readonly start: number; readonly end: number; readonly total?: number };

/** The Content-Range of a 206; undefined unless it makes sense. @see RFC 9110 14.4 */
export function parseContentRange(text: string | undefined): ContentRange | undefined {
  const [, first, last, length] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(text ?? '') ?? [];
  const [start, end, total] = [wholeNumber(first), wholeNumber(last), wholeNumber(length)];
  if (start === undefined || end === undefined || end < start) return undefined;
  if (length === '*') return { start, end };
  return total !== undefined && end < total ? { start, end, total } : undefined;
}

/** The total that a 416 names. */
export function parseUnsatisfiedRange(text: string | undefined): number | undefined {
  return wholeNumber(/^bytes \*\/(\d+)$/i.exec(text ?? '')?.[1]);
}
