import type { Downloaded, DownloadRequest } from './contract.ts';
import { statusError } from './document.ts';
import type { HttpContext } from './exchange.ts';
import { freshnessOf } from './headers.ts';
import { withResponse } from './redirects.ts';
import { withRetries } from './retry.ts';
import { createTransfer, judgeAnswer, type RequestedPart, type Transfer } from './transfer.ts';

/**
 * Downloads a body into a sink and resumes as often as needed. The bytes in the sink are always of one version of the body.
 *
 * @throws ImageError HTTP_STATUS, LIMIT_EXCEEDED, RATE_LIMITED, REDIRECT_REFUSED, and network errors; the errors of the sink.
 * @see docs/rules.md H2, H3, H4, H6, H11
 */
export function download(context: HttpContext, request: DownloadRequest, signal: AbortSignal): Promise<Downloaded> {
  const transfer = createTransfer(context, request, signal);
  const { url, observer, retries } = request;
  return withRetries(
    context,
    { url, retries, observer, hasProgressed: (error) => transfer.hasProgressed(error) },
    async () => {
      for (;;) {
        const result = await attempt(context, request, transfer, signal);
        if (result !== 'start-over') return result; // the transfer starts over once at most
      }
    },
    signal,
  );
}

async function attempt(
  context: HttpContext,
  request: DownloadRequest,
  transfer: Transfer,
  signal: AbortSignal,
): Promise<Downloaded | 'start-over'> {
  const { headers, known, observer } = request;
  const part = transfer.nextRequest();
  return withResponse(
    context,
    { ...request, method: 'GET', headers: { ...headers, ...headersFor(part, known) } },
    observer,
    async (answer) => {
      const verdict = judgeAnswer(part, answer.status, answer.headers);
      switch (verdict.kind) {
        case 'whole':
        case 'rest':
          return transfer.receive(answer, verdict);
        case 'nothing-missing':
          return transfer.completeAlready(answer);
        case 'not-modified':
          return { kind: 'not-modified', freshness: { ...known, ...freshnessOf(answer.headers) } };
        case 'start-over':
          if (transfer.startOver(verdict.mayResumeLater)) return 'start-over';
          throw await statusError(answer, context.clock.now(), request);
        case 'refused':
          throw await statusError(answer, context.clock.now(), request);
      }
    },
    signal,
  );
}

function headersFor(asked: RequestedPart, known: DownloadRequest['known'] = {}): Record<string, string> {
  switch (asked.kind) {
    case 'whole':
      return {};
    case 'unless-known':
      return {
        ...(known.etag !== undefined && { 'if-none-match': known.etag }),
        ...(known.lastModified !== undefined && { 'if-modified-since': known.lastModified }),
      };
    case 'rest':
      return { range: `bytes=${asked.from}-`, ...(asked.validator && { 'if-range': asked.validator.value }) };
  }
}
