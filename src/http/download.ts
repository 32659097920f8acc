import { ImageError } from '../errors.ts';
import { showUrl } from '../image/show.ts';
import type { BodyRange, Downloaded, DownloadRequest } from './contract.ts';
import { statusError } from './document.ts';
import type { HttpContext } from './exchange.ts';
import { freshnessOf, headerOf, parseContentRange } from './headers.ts';
import { leastProgress, pump } from './pump.ts';
import { type FinalResponse, withResponse } from './redirects.ts';
import { withRetries } from './retry.ts';
import { createTransfer, judgeAnswer, lengthMismatch, type RequestedPart, type Transfer } from './transfer.ts';

/**
 * Downloads a body into a sink and resumes as often as needed. The bytes in the sink are always of one version of the body.
 *
 * @throws ImageError HTTP_STATUS, LIMIT_EXCEEDED, RATE_LIMITED, REDIRECT_REFUSED, and network errors; the errors of the sink.
 * @see docs/rules.md H2, H3, H4, H6, H11
 */
export function download(context: HttpContext, request: DownloadRequest, signal: AbortSignal): Promise<Downloaded> {
  if (request.range) return downloadRange(context, request, request.range, signal);
  const transfer = createTransfer(context, request, signal);
  const { url, observer, retries } = request;
  return withRetries(
    context,
    { url, retries, observer, hasProgressed: (error) => transfer.hasProgressed(error) },
    async () => {
      for (;;) {
        let result = await attempt(context, request, transfer, signal);
        if (result === 'ranges-follow') result = (await transfer.takeRanges()) ?? 'ranges-follow';
        if (typeof result !== 'string') return result; // the transfer starts over once at most
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
): Promise<Downloaded | 'start-over' | 'ranges-follow'> {
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

/** Downloads one range into a sink, which may have its beginning. Its bytes are of the version that the range is of. */
function downloadRange(
  context: HttpContext,
  request: DownloadRequest,
  { from, to, body: { total, validator } }: BodyRange,
  signal: AbortSignal,
): Promise<Downloaded> {
  const { url, sink, observer, retries, headers, onStart, onProgress } = request;
  const bytes = to - from;
  let counted = sink.bytes;
  let [transferred, responses] = [0, 0];
  const hasProgressed = (): boolean => {
    if (sink.bytes - counted < leastProgress(counted, bytes)) return false;
    counted = sink.bytes;
    return true;
  };

  const receive = async (answer: FinalResponse, asked: RequestedPart & { kind: 'rest' }): Promise<Downloaded> => {
    if (answer.status >= 400) throw await statusError(answer, context.clock.now(), request);
    const verdict = judgeAnswer(asked, answer.status, answer.headers);
    const end = parseContentRange(headerOf(answer.headers, 'content-range'))?.end;
    if (verdict.kind !== 'rest' || end !== to - 1) throw notTheRange(answer);
    if (sink.bytes === 0) await sink.restart({ total: bytes, ...(validator && { validator }) });
    await onStart?.({ total: bytes, resumedFrom: sink.bytes });
    responses += 1;
    let arrived = sink.bytes;
    const check = (more: number): void => {
      arrived += more;
      if (arrived > bytes) throw lengthMismatch(answer.url, bytes, arrived);
      transferred += more;
    };
    const onAppend = (): void => onProgress?.(sink.bytes);
    const limiter = context.limiterOf([url, answer.url]);
    await pump(answer.body, sink, { limiter, check, onAppend, recycle: answer.recycle }, signal);
    if (sink.bytes < bytes) throw lengthMismatch(answer.url, bytes, sink.bytes);
    return { kind: 'complete', bytes, transferred, responses, freshness: freshnessOf(answer.headers) };
  };

  const attempt = (): Promise<Downloaded> => {
    const asked = { kind: 'rest', from: from + sink.bytes, total, validator } as const;
    const own = { ...headersFor(asked), range: `bytes=${asked.from}-${to - 1}` };
    const sent = { ...request, method: 'GET' as const, headers: { ...headers, ...own } };
    return withResponse(context, sent, observer, (answer) => receive(answer, asked), signal);
  };
  // a host that takes no further connection is not dead
  const health = { ...context.health, noteFailure: () => false };
  return withRetries({ ...context, health }, { url, retries, observer, hasProgressed }, attempt, signal);
}

function notTheRange({ url, status }: FinalResponse): ImageError {
  const message = `the answer (${status}) is not the range that was asked for`;
  return new ImageError('RESPONSE_INVALID', message, { url: showUrl(url) });
}
