import { hasCode, ImageError } from '../errors.ts';
import { showUrl } from '../image/show.ts';
import type { Downloaded, DownloadRequest, Freshness, HeaderFields, RangesAhead, Sink, Validator } from './contract.ts';
import type { HttpContext } from './exchange.ts';
import {
  contentLength,
  freshnessOf,
  headerOf,
  mayBeSame,
  parseContentRange,
  parseUnsatisfiedRange,
  strongValidator,
} from './headers.ts';
import { createProgress, pump, type RateLimiter } from './pump.ts';
import type { FinalResponse } from './redirects.ts';

/** The state of one download over all its tries. */
export type Transfer = {
  /** Decides what the next request asks for. */
  nextRequest(): RequestedPart;
  /** Makes the next request ask for the whole body. @returns false if that has been done before. */
  startOver(mayResumeLater: boolean): boolean;
  /**
   * Writes the body of an answer into the sink, which is emptied first if the body is the whole one.
   *
   * @returns 'ranges-follow' where the bytes of ranges go on, which `takeRanges` writes
   */
  receive(answer: FinalResponse, verdict: Verdict & { kind: 'whole' | 'rest' }): Promise<Downloaded | 'ranges-follow'>;
  /** @returns undefined if not all of the body has come by ranges: the rest has to be asked for */
  takeRanges(): Promise<Downloaded | undefined>;
  /** Completes a download whose sink already has all bytes. */
  completeAlready(answer: FinalResponse): Promise<Downloaded>;
  /** Called after a failed try; true if enough bytes have arrived for tries to be counted anew. */
  hasProgressed(error: unknown): boolean;
};

export function createTransfer(
  { options, limiterOf }: HttpContext,
  { url: asked, sink, known, immutable = false, size, ahead, onStart, onProgress }: DownloadRequest,
  signal: AbortSignal,
): Transfer {
  const isKnown = known?.etag !== undefined || known?.lastModified !== undefined;
  let transferred = 0;
  /** The number of responses that the bytes of the sink are from; those of earlier runs count as one. */
  let responses = sink.bytes > 0 ? 1 : 0;
  /** The most bytes that the sink has held: only bytes beyond these are progress. */
  let mostBytes = sink.bytes;
  const progress = createProgress(mostBytes);
  /** The total of the last body that was accepted. */
  let lastTotal = sink.total ?? size;
  let freshness: Freshness = { maxAgeMs: 0 };
  /** The next bytes follow those of another connection, none of which has failed. */
  let isAfterOther = false;
  let restarts = 0;
  let hasStartedOver = false;
  let isFromStart = false;
  let mayResume = true;

  /** Progress is counted anew for a limited number of restarts: a server that forces one each time gets no tries without end. */
  async function restart({ total, validator }: Verdict & { kind: 'whole' }): Promise<void> {
    if (sink.bytes > 0) restarts += 1;
    if (restarts <= options.retries) progress.begin((mostBytes = 0));
    isFromStart = false;
    responses = 0;
    const kept = immutable ? undefined : validator; // servers of one immutable body may name it differently
    await sink.restart({ ...(kept && { validator: kept }), ...(total !== undefined && { total }) });
  }

  function checkSize(found: number): void {
    if (size === undefined || found === size) return;
    const message = `a body of ${found} bytes instead of ${size}`;
    throw new ImageError('SIZE_MISMATCH', message, { asked: size, found });
  }

  function onAppend(): void {
    mostBytes = Math.max(mostBytes, sink.bytes);
    ahead?.advance(sink.bytes);
    onProgress?.(sink.bytes + (ahead?.bytes ?? 0));
  }

  async function start(total: number | undefined): Promise<void> {
    const about = { ...(total !== undefined && { total }), ...(isAfterOther && sink.bytes > 0 && { goesOn: true }) };
    await onStart?.({ ...about, resumedFrom: sink.bytes });
    isAfterOther = false;
    responses += 1;
  }

  /** @returns false if ranges go on before the end */
  async function writeBody({ body, recycle, url }: FinalResponse, total: number | undefined): Promise<boolean> {
    lastTotal = total;
    await start(total);
    const validator = immutable ? undefined : sink.validator;
    const ranged = total !== undefined && (validator || immutable) ? { total, validator } : undefined;
    ahead?.begin(ranged, sink.bytes);
    let doRangesFollow = false;
    let bytes = sink.bytes;
    const check = (more: number) => {
      bytes += more;
      if (size !== undefined && bytes > size) checkSize(bytes);
      if (total !== undefined && bytes > total) {
        [isFromStart, mayResume] = [true, false];
        throw lengthMismatch(url, total, bytes);
      }
      checkLimit(bytes);
      transferred += more;
    };
    const onRange = () => void (doRangesFollow = true);
    const beginning = ahead && ranged ? untilRange(body, bytes, ahead, onRange) : body;
    const limiter = notingWaits(limiterOf([asked, url]), ahead);
    await pump(beginning, sink, { limiter, check, onAppend, recycle }, signal);
    if (doRangesFollow) return false;
    if (total !== undefined && sink.bytes < total) throw lengthMismatch(url, total, sink.bytes);
    return true;
  }

  function checkLimit(bytes: number): void {
    const maximum = options.limits.archiveBytes;
    if (bytes <= maximum) return;
    throw new ImageError('LIMIT_EXCEEDED', `more than ${maximum} bytes`, { limit: 'archive', maximum });
  }

  function complete(): Downloaded {
    const received = transferred + (ahead?.received ?? 0);
    return { kind: 'complete', bytes: sink.bytes, transferred: received, responses, freshness };
  }

  return {
    nextRequest() {
      progress.begin(mostBytes);
      const isWhole = sink.bytes > 0 && (isFromStart || !mayResume);
      return isWhole ? { kind: 'whole' } : choosePart(sink, isKnown, immutable);
    },
    startOver(mayResumeLater) {
      if (hasStartedOver) return false;
      hasStartedOver = isFromStart = true;
      mayResume = mayResumeLater;
      return true;
    },
    async receive(answer, verdict) {
      const total = verdict.total ?? size;
      checkLimit(total ?? 0);
      if (total !== undefined) checkSize(total);
      if (verdict.kind === 'whole') await restart({ ...verdict, total });
      freshness = freshnessOf(answer.headers);
      return (await writeBody(answer, total)) ? complete() : 'ranges-follow';
    },
    async takeRanges() {
      if (!ahead) return undefined;
      isAfterOther = true;
      await start(lastTotal);
      isAfterOther = true;
      for await (const chunk of ahead.read(sink.bytes)) {
        await sink.append([chunk]);
        onAppend();
      }
      return sink.bytes === lastTotal ? complete() : undefined;
    },
    async completeAlready(answer) {
      checkSize(sink.bytes);
      await start(sink.bytes);
      freshness = freshnessOf(answer.headers);
      return complete();
    },
    hasProgressed: (error) =>
      progress.isEnough({ bytes: mostBytes, total: lastTotal, hasStalled: hasCode(error, 'STALLED') }),
  };
}

function notingWaits(limiter: RateLimiter | undefined, ahead: RangesAhead | undefined): RateLimiter | undefined {
  if (!limiter || !ahead) return limiter;
  return (bytes, signal) => {
    const wait = limiter(bytes, signal);
    if (wait) ahead.limited();
    return wait;
  };
}

/** Ends a body where the bytes of ranges go on, and then calls `onRange`. */
async function* untilRange(
  body: AsyncIterable<Uint8Array>,
  position: number,
  ranges: RangesAhead,
  onRange: () => void,
): AsyncGenerator<Uint8Array> {
  let at = position;
  for await (const chunk of body) {
    const left = ranges.nextFrom(at) - at;
    const part = chunk.byteLength > left ? chunk.subarray(0, left) : chunk;
    at += part.byteLength;
    if (part.byteLength > 0) yield part;
    if (part.byteLength === left) return onRange();
  }
}

export function lengthMismatch(url: string, expected: number, received: number): ImageError {
  const message = `${received} bytes came instead of ${expected}`;
  return new ImageError('LENGTH_MISMATCH', message, { url: showUrl(url), expected, received });
}

/** What a request asks for: the whole body, the body unless it is as known, or the missing rest. */
export type RequestedPart =
  | { readonly kind: 'whole' }
  | { readonly kind: 'unless-known' }
  | {
      readonly kind: 'rest';
      readonly from: number;
      readonly total: number | undefined;
      readonly validator: Validator | undefined;
    };

type Verdict =
  | { readonly kind: 'whole'; readonly total: number | undefined; readonly validator: Validator | undefined }
  | { readonly kind: 'rest'; readonly total: number }
  | { readonly kind: 'nothing-missing' }
  | { readonly kind: 'not-modified' }
  /** Resuming has failed. `mayResumeLater` is false if the server answers range requests wrongly, so none is sent again. */
  | { readonly kind: 'start-over'; readonly mayResumeLater: boolean }
  /** The request does not accept the status. */
  | { readonly kind: 'refused' };

/** What to ask for, given the bytes of the sink. They can be resumed only with a validator; an `immutable` body needs and heeds none. */
function choosePart({ bytes, total, validator }: Sink, isKnown: boolean, immutable: boolean): RequestedPart {
  if (bytes > 0 && immutable) return { kind: 'rest', from: bytes, total, validator: undefined };
  if (bytes > 0 && validator) return { kind: 'rest', from: bytes, total, validator };
  return { kind: bytes === 0 && isKnown ? 'unless-known' : 'whole' };
}

/** Decides what an answer to a request means. @see docs/rules.md H2, H4 */
export function judgeAnswer(asked: RequestedPart, status: number, headers: HeaderFields): Verdict {
  if (status === 200) return { kind: 'whole', total: contentLength(headers), validator: strongValidator(headers) };
  if (status === 304 && asked.kind === 'unless-known') return { kind: 'not-modified' };
  if (asked.kind !== 'rest') return { kind: 'refused' };
  const isSame = !asked.validator || mayBeSame(asked.validator, headers);
  if (status === 206) {
    const total = restTotal(asked, headers);
    return isSame && total !== undefined ? { kind: 'rest', total } : { kind: 'start-over', mayResumeLater: false };
  }
  if (status === 501) return { kind: 'start-over', mayResumeLater: false };
  if (status === 416) {
    const total = parseUnsatisfiedRange(headerOf(headers, 'content-range')) ?? asked.total;
    return isSame && total === asked.from ? { kind: 'nothing-missing' } : { kind: 'start-over', mayResumeLater: true };
  }
  return { kind: 'refused' };
}

/** The size of the whole body; undefined if a 206 does not begin where it should or contradicts the known total. */
function restTotal({ from, total }: RequestedPart & { kind: 'rest' }, headers: HeaderFields): number | undefined {
  const range = parseContentRange(headerOf(headers, 'content-range'));
  if (!range || range.start !== from) return undefined;
  const length = contentLength(headers);
  if (length !== undefined && length !== range.end - range.start + 1) return undefined;
  if (total !== undefined && range.total !== undefined && range.total !== total) return undefined;
  return range.total ?? total;
}
