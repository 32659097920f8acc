import { ImageError } from '../errors.ts';
import { showUrl } from '../image/show-url.ts';
import { headerOf } from './headers.ts';
import type { Answer } from './redirects.ts';
import { parseRetryAfter } from './retry.ts';
import type { RequestOptions } from './types.ts';

/** What is read of the body of an answer that was not asked for. @see docs/rules.md R4 */
const refusalBytes = 16 * 1024;

/**
 * The error for an answer whose status is no answer to what was asked.
 *
 * @param nowMs - milliseconds since the epoch, for Retry-After.
 */
export async function statusError(
  { status, headers, url, body }: Answer,
  nowMs: number,
  { url: asked, onRefusal, ownCredentials = false }: Pick<RequestOptions, 'url' | 'onRefusal' | 'ownCredentials'>,
): Promise<ImageError<'HTTP_STATUS'>> {
  const said = onRefusal?.({ url, status, headers, body: await beginning(body) });
  const retryAfterMs = parseRetryAfter(headerOf(headers, 'retry-after'), nowMs);
  const [here, first] = [new URL(url), new URL(asked)];
  const redirectedFrom = here.host === first.host ? undefined : first.host;
  const details = {
    url: showUrl(url),
    status,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(redirectedFrom !== undefined && { redirectedFrom }),
    ...((ownCredentials || here.protocol === 'http:') && { takesNoCredentials: true as const }),
  };
  const who = redirectedFrom === undefined ? 'the server' : `${here.host}, to which ${redirectedFrom} leads,`;
  return new ImageError('HTTP_STATUS', `${who} answered ${status}${said ? `: ${said}` : ''}`, details);
}

async function beginning(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      bytes += chunk.byteLength;
      if (bytes >= refusalBytes) break;
    }
  } catch {
    // the status is what counts
  }
  return Buffer.concat(chunks).subarray(0, refusalBytes);
}
