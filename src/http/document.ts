import { ImageError } from '../errors.ts';
import { withRetries } from './attempts.ts';
import type { HttpContext } from './context.ts';
import { contentLength } from './headers.ts';
import { withAnswer } from './redirects.ts';
import { statusError } from './status.ts';
import type { Document, DocumentRequest } from './types.ts';

/**
 * @throws ImageError HTTP_STATUS for a status not asked for, LIMIT_EXCEEDED, and what networks do.
 */
export function getDocument(context: HttpContext, request: DocumentRequest, signal: AbortSignal): Promise<Document> {
  const { method = 'GET', url, headers = {}, observer, retries = context.options.retries, onRefusal } = request;
  const ask = { ...request, method, headers };
  const attempt = () =>
    withAnswer(
      context,
      ask,
      observer,
      async (answer) => {
        if (!request.statuses.includes(answer.status)) throw await statusError(answer, context.clock.now(), onRefusal);
        if (method !== 'HEAD') checkLimit(contentLength(answer.headers) ?? 0, request.limit);
        const body = await collect(answer.body, request.limit);
        return { status: answer.status, headers: answer.headers, url: answer.url, body };
      },
      signal,
    );
  return withRetries(context, { url, retries, observer }, attempt, signal);
}

type Limit = DocumentRequest['limit'];

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

function checkLimit(bytes: number, { name, bytes: maximum }: Limit): void {
  if (bytes > maximum) {
    throw new ImageError('LIMIT_EXCEEDED', `more than ${maximum} bytes`, { limit: name, maximum });
  }
}
