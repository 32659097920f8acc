import { promisify } from 'node:util';

import { ImageError } from '../errors.ts';
import { show, showUrl } from '../image/show.ts';
import { joined } from '../system/files.ts';
import type { DocumentRequest, HttpDocument, RequestOptions } from './contract.ts';
import type { HttpContext } from './exchange.ts';
import { contentLength, headerOf } from './headers.ts';
import { type FinalResponse, withResponse } from './redirects.ts';
import { parseRetryAfter, waitWhilePaused, withRetries } from './retry.ts';

/** @throws ImageError HTTP_STATUS for a status that the request does not accept, LIMIT_EXCEEDED, and network errors. */
export async function getDocument(
  context: HttpContext,
  request: DocumentRequest,
  signal: AbortSignal,
): Promise<HttpDocument> {
  const { method = 'GET', url, headers = {}, observer, retries } = request;
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
        const sent = await readWithin(answer.body, limit);
        const body =
          coding === undefined || method === 'HEAD' ? sent : await decode(sent, coding, answer.url, request.limit);
        return { status: answer.status, headers: answer.headers, url: answer.url, body };
      },
      signal,
    );
  if (!request.isPart) return withRetries(context, { url, retries, observer }, attempt, signal);
  await waitWhilePaused(context, { url, observer }, signal);
  return attempt();
}

type Limit = DocumentRequest['limit'];

async function readWithin(body: AsyncIterable<Uint8Array>, limit: Limit): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    checkLimit(bytes, limit);
    chunks.push(chunk);
  }
  return joined(chunks);
}

/** The content coding of a body; undefined if it has none. */
function codingOf({ headers }: FinalResponse): string | undefined {
  const coding = headerOf(headers, 'content-encoding')?.trim().toLowerCase() ?? '';
  return coding === '' || coding === 'identity' ? undefined : coding;
}

/** The limit for a body coded with gzip, which makes incompressible data larger. */
function codedLimit({ name, bytes }: Limit): Limit {
  return { name, bytes: bytes + Math.ceil(bytes / 256) + 1024 };
}

async function decode(body: Uint8Array, coding: string, url: string, { name, bytes }: Limit): Promise<Uint8Array> {
  const refuse = (problem: string, cause?: unknown) =>
    new ImageError('RESPONSE_INVALID', `the answer is ${problem}`, { url: showUrl(url) }, { cause });
  if (coding !== 'gzip' && coding !== 'x-gzip') {
    throw refuse(`coded as ${show(coding)}, which was not requested`);
  }
  try {
    const { gunzip } = await import('node:zlib'); // hardly a server codes what it was asked not to
    return await promisify(gunzip)(body, { maxOutputLength: bytes });
  } catch (error) {
    if (error instanceof RangeError) throw overLimit({ name, bytes });
    throw refuse('declared as coded with gzip, but is not', error);
  }
}

function checkLimit(bytes: number, { name, bytes: maximum }: Limit): void {
  if (bytes > maximum) throw overLimit({ name, bytes: maximum });
}

function overLimit({ name, bytes: maximum }: Limit): ImageError {
  return new ImageError('LIMIT_EXCEEDED', `more than ${maximum} bytes`, { limit: name, maximum });
}

/** The most bytes that are read of the body of a refused answer. @see docs/rules.md R4 */
const refusalBytes = 16 * 1024;

/**
 * The error for an answer with a status that the request does not accept.
 *
 * @param nowMs - milliseconds since the epoch, for Retry-After.
 */
export async function statusError(
  { status, headers, url, body }: FinalResponse,
  nowMs: number,
  { url: requested, onRefusal, ownCredentials = false }: Pick<RequestOptions, 'url' | 'onRefusal' | 'ownCredentials'>,
): Promise<ImageError<'HTTP_STATUS'>> {
  const explanation = onRefusal?.({ url, status, headers, body: await readBeginning(body) });
  const retryAfterMs = parseRetryAfter(headerOf(headers, 'retry-after'), nowMs);
  const [last, first] = [new URL(url), new URL(requested)];
  const redirectedFrom = last.host === first.host ? undefined : first.host;
  const details = {
    url: showUrl(url),
    status,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(redirectedFrom !== undefined && { redirectedFrom }),
    ...((ownCredentials || last.protocol === 'http:') && { takesNoCredentials: true as const }),
  };
  const who = redirectedFrom === undefined ? 'the server' : `${last.host}, to which ${redirectedFrom} leads,`;
  return new ImageError('HTTP_STATUS', `${who} answered ${status}${explanation ? `: ${explanation}` : ''}`, details);
}

async function readBeginning(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      bytes += chunk.byteLength;
      if (bytes >= refusalBytes) break;
    }
  } catch {
    // the status is reported anyway
  }
  return Buffer.concat(chunks).subarray(0, refusalBytes);
}
