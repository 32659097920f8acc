import type { Headers } from './types.ts';

/** The value of a header that may stand once only; undefined when it is absent or stands twice with different values. */
export function headerOf(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  if (value === undefined || typeof value === 'string') return value;
  return new Set(value).size === 1 ? value[0] : undefined;
}

/** The values of a header that is a list, in one. */
export function headerList(headers: Headers, name: string): string {
  const value = headers[name] ?? '';
  return typeof value === 'string' ? value : value.join(',');
}

/** Bytes as Content-Length says; undefined without one. */
export function contentLength(headers: Headers): number | undefined {
  return wholeNumber(headerOf(headers, 'content-length'));
}

/** A string of digits that a number can hold exactly. */
export function wholeNumber(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d+$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}
