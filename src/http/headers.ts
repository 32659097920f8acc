import type { Freshness, HeaderFields, Validator } from './contract.ts';

/** The value of a header that may occur only once; undefined if it is absent or occurs with different values. */
export function headerOf(headers: HeaderFields, name: string): string | undefined {
  const value = headers[name];
  if (value === undefined || typeof value === 'string') return value;
  return new Set(value).size === 1 ? value[0] : undefined;
}

/** The values of a header that is a list, joined by commas; empty if it is absent. */
export function headerList(headers: HeaderFields, name: string): string {
  const value = headers[name] ?? '';
  return typeof value === 'string' ? value : value.join(',');
}

/** The Content-Length in bytes; undefined if it is absent or invalid. */
export function contentLength(headers: HeaderFields): number | undefined {
  return wholeNumber(headerOf(headers, 'content-length'));
}

/** Parses a string of digits; undefined if it is anything else, or larger than a number holds exactly. */
export function wholeNumber(text: string | undefined): number | undefined {
  const value = text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** `start` and `end` are the positions of the first and the last byte; `total` is absent where the server says `*`. */
type ContentRange = { readonly start: number; readonly end: number; readonly total?: number };

/** Parses the Content-Range of a 206; undefined if it is absent or invalid. @see RFC 9110 14.4 */
export function parseContentRange(text: string | undefined): ContentRange | undefined {
  const [, first, last, length] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(text ?? '') ?? [];
  const [start, end, total] = [wholeNumber(first), wholeNumber(last), wholeNumber(length)];
  if (start === undefined || end === undefined || end < start) return undefined;
  if (length === '*') return { start, end };
  return total !== undefined && end < total ? { start, end, total } : undefined;
}

/** Parses the total from the Content-Range of a 416. */
export function parseUnsatisfiedRange(text: string | undefined): number | undefined {
  return wholeNumber(/^bytes \*\/(\d+)$/i.exec(text ?? '')?.[1]);
}

const directive = /([!#$%&'*+\-.^_`|~0-9a-z]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]*))?/gi;

/** The longest time an answer is fresh, whatever its max-age: an answer sent by mistake is revalidated after a week. */
export const longestFreshMs = 7 * 86_400_000;

/**
 * How long an answer stays fresh from now, in milliseconds, at most a week; 0 without a max-age. `no-store` and `no-cache` always
 * give 0; the smallest of several max-ages is used; malformed directives are ignored.
 *
 * @see RFC 9111 4.2, 5.2
 */
export function maxAgeMs(headers: HeaderFields): number {
  if (headers['cache-control'] === undefined) return 0;
  let seconds: number | undefined;
  for (const [, name = '', value] of headerList(headers, 'cache-control').matchAll(directive)) {
    if (/^no-(store|cache)$/i.test(name)) return 0;
    const age = /^max-age$/i.test(name) ? wholeNumber(value?.replace(/^"(.*)"$/, '$1')) : undefined;
    if (age !== undefined) seconds = Math.min(age, seconds ?? Infinity);
  }
  const spent = wholeNumber(headerOf(headers, 'age')) ?? 0;
  return Math.min(1000 * Math.max(0, (seconds ?? 0) - spent), longestFreshMs);
}

const entityTag = /^(W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/;

/**
 * The validator by which a body can be resumed: a strong ETag; without any ETag, a Last-Modified at least a second older than Date.
 *
 * @see docs/rules.md H4; RFC 9110 8.8.2.2
 */
export function strongValidator(headers: HeaderFields): Validator | undefined {
  if (headers['etag'] !== undefined) {
    const etag = etagOf(headers);
    return etag?.startsWith('"') ? { kind: 'etag', value: etag } : undefined;
  }
  const value = lastModifiedOf(headers);
  const [modified, date] = [parseHttpDate(value), parseHttpDate(headerOf(headers, 'date'))];
  if (value === undefined || modified === undefined || date === undefined) return undefined;
  return modified + 1000 <= date ? { kind: 'last-modified', value } : undefined;
}

/** False if the answer has a validator that differs from `validator`, also in kind: two kinds cannot be compared. */
export function mayBeSame(validator: Validator, headers: HeaderFields): boolean {
  const { etag, 'last-modified': lastModified } = headers;
  if (etag !== undefined) return validator.kind === 'etag' && headerOf(headers, 'etag') === validator.value;
  if (lastModified === undefined) return true;
  return validator.kind === 'last-modified' && headerOf(headers, 'last-modified') === validator.value;
}

export function freshnessOf(headers: HeaderFields): Freshness {
  const [etag, lastModified] = [etagOf(headers), lastModifiedOf(headers)];
  return {
    ...(etag !== undefined && { etag }),
    ...(lastModified !== undefined && { lastModified }),
    maxAgeMs: maxAgeMs(headers),
  };
}

function etagOf(headers: HeaderFields): string | undefined {
  const etag = headerOf(headers, 'etag');
  return etag !== undefined && entityTag.test(etag) ? etag : undefined;
}

function lastModifiedOf(headers: HeaderFields): string | undefined {
  const value = headerOf(headers, 'last-modified');
  return parseHttpDate(value) === undefined ? undefined : value;
}

const imfFixdate =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT$/;

/** Milliseconds since the epoch; undefined for anything but the form that servers must send. @see RFC 9110 5.6.7 */
export function parseHttpDate(text: string | undefined): number | undefined {
  if (text === undefined || !imfFixdate.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
