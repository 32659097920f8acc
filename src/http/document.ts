import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

import { ImageError } from '../errors.ts';
import { showUrl, show } from '../image/show.ts';
import { withRetries, parseRetryAfter } from './retry.ts';
import type { HttpContext } from './open-http.ts';
import { contentLength, headerOf } from './headers.ts';
import { withResponse, type FinalResponse } from './redirects.ts';
import type { HttpDocument, DocumentRequest, RequestOptions } from './contract.ts';

/**
 * @throws ImageError HTTP_STATUS for a status not asked for, LIMIT_EXCEEDED, and what networks do.
 */
export function getDocument(
  context: HttpContext,
  request: DocumentRequest,
  signal: AbortSignal,
): Promise<HttpDocument> {
  const { method = 'GET', url, headers = {}, observer, retries = context.options.retries } = request;
  const ask = { ...request, method, headers };
  const attempt = () =>
    withResponse(
      context,
      ask,
      observer,
      async (answer) => {
        if (!request.statuses.includes(answer.status)) throw await statusError(answer, context.clock.now(), request);
        const coding = request.decodes ? codingOf(answer) : undefined;
        const limit = coding === undefined ? request.limit : codedLimit(request.limit);
        if (method !== 'HEAD') checkLimit(contentLength(answer.headers) ?? 0, limit);
        const sent = await collect(answer.body, limit);
        const body =
          coding === undefined || method === 'HEAD' ? sent : await decode(sent, coding, answer.url, request.limit);
        return { status: answer.status, headers: answer.headers, url: answer.url, body };
      },
      signal,
    );
  return withRetries(context, { url, retries, observer }, attempt, signal);
}

type Limit = DocumentRequest['limit'];

const gunzipped = promisify(gunzip);

async function collect(body: AsyncIterable<Uint8Array>, limit: Limit): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    checkLimit(bytes, limit);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Undefined for a body as it is. */
function codingOf({ headers }: FinalResponse): string | undefined {
  const coding = headerOf(headers, 'content-encoding')?.trim().toLowerCase() ?? '';
  return coding === '' || coding === 'identity' ? undefined : coding;
}

/** Of something incompressible gzip makes more than it was. */
function codedLimit({ name, bytes }: Limit): Limit {
  return { name, bytes: bytes + (bytes >> 8) + 1024 };
}

async function decode(body: Uint8Array, coding: string, url: string, { name, bytes }: Limit): Promise<Uint8Array> {
  const refuse = (problem: string, cause?: unknown) =>
    new ImageError('RESPONSE_INVALID', `the answer is ${problem}`, { url: showUrl(url) }, { cause });
  if (coding !== 'gzip' && coding !== 'x-gzip') {
    throw refuse(`coded as ${show(coding)}, which was not asked for`);
  }
  try {
    return await gunzipped(body, { maxOutputLength: bytes });
  } catch (error) {
    if (error instanceof RangeError) throw overLimit({ name, bytes });
    throw refuse('said to be coded as gzip, and is not', error);
  }
}

function checkLimit(bytes: number, { name, bytes: maximum }: Limit): void {
  if (bytes > maximum) throw overLimit({ name, bytes: maximum });
}

function overLimit({ name, bytes: maximum }: Limit): ImageError {
  return new ImageError('LIMIT_EXCEEDED', `more than ${maximum} bytes`, { limit: name, maximum });
}

/** What is read of the body of an answer that was not asked for. @see docs/rules.md R4 */
const refusalBytes = 16 * 1024;

/**
 * The error for an answer whose status is no answer to what was asked.
 *
 * @param nowMs - milliseconds since the epoch, for Retry-After.
 */
export async function statusError(
  { status, headers, url, body }: FinalResponse,
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
