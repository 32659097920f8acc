import { headerOf } from './headers.ts';
import { parseHttpDate } from './http-date.ts';
import type { Freshness, Headers, Validator } from './types.ts';
import { maxAgeMs } from './cache-control.ts';

const entityTag = /^(W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/;

/**
 * What makes a body safe to resume: a strong ETag; without any ETag, a Last-Modified at least a second older than Date.
 *
 * @see docs/rules.md H4; RFC 9110 8.8.2.2
 */
export function strongValidator(headers: Headers): Validator | undefined {
  if (headers['etag'] !== undefined) {
    const etag = etagOf(headers);
    return etag?.startsWith('"') ? { kind: 'etag', value: etag } : undefined;
  }
  const value = lastModifiedOf(headers);
  const [modified, date] = [parseHttpDate(value), parseHttpDate(headerOf(headers, 'date'))];
  if (value === undefined || modified === undefined || date === undefined) return undefined;
  return modified + 1000 <= date ? { kind: 'last-modified', value } : undefined;
}

/**
 * False if the answer carries a validator, and it is not `validator`: one of another kind may tell of other bytes, and nobody
 * could say.
 */
export function mayBeSame(validator: Validator, headers: Headers): boolean {
  const { etag, 'last-modified': lastModified } = headers;
  if (etag !== undefined) return validator.kind === 'etag' && headerOf(headers, 'etag') === validator.value;
  if (lastModified === undefined) return true;
  return validator.kind === 'last-modified' && headerOf(headers, 'last-modified') === validator.value;
}

export function freshnessOf(headers: Headers): Freshness {
  const [etag, lastModified] = [etagOf(headers), lastModifiedOf(headers)];
  return {
    ...(etag !== undefined && { etag }),
    ...(lastModified !== undefined && { lastModified }),
    maxAgeMs: maxAgeMs(headers),
  };
}

function etagOf(headers: Headers): string | undefined {
  const etag = headerOf(headers, 'etag');
  return etag !== undefined && entityTag.test(etag) ? etag : undefined;
}

function lastModifiedOf(headers: Headers): string | undefined {
  const value = headerOf(headers, 'last-modified');
  return parseHttpDate(value) === undefined ? undefined : value;
}
