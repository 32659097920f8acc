import { ImageError } from '../errors.ts';
import { showUrl } from '../image/show-url.ts';
import { headerOf } from './headers.ts';
import type { Answer } from './redirects.ts';
import { parseRetryAfter } from './retry.ts';

/** An answer whose status is no answer to what was asked. @param nowMs - milliseconds since the epoch, for Retry-After. */
export function statusError({ status, headers, url }: Answer, nowMs: number): ImageError {
  const retryAfterMs = parseRetryAfter(headerOf(headers, 'retry-after'), nowMs);
  const details = { url: showUrl(url), status, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  return new ImageError('HTTP_STATUS', `the server answered ${status}`, details);
}
