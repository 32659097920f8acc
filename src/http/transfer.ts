import { hasCode, ImageError } from '../errors.ts';
import { showUrl } from '../image/show.ts';
import type { HttpContext } from './open-http.ts';
import { createProgress, pump } from './pump.ts';
import type { FinalResponse } from './redirects.ts';
import type { Downloaded, DownloadRequest, HeaderFields, Sink, Validator } from './contract.ts';
import {
  freshnessOf,
  parseContentRange,
  parseUnsatisfiedRange,
  contentLength,
  headerOf,
  mayBeSame,
  strongValidator,
} from './headers.ts';

/** The state of one download, over all its tries. */
export type Transfer = {
  /** What the next request is to ask for. */
  ask(): Asked;
  /** The next request is for everything. @returns false if that has been tried already. */
  startOver(mayResumeLater: boolean): boolean;
  /** Takes the body of an answer into the sink, which is emptied first for a whole one. */
  take(answer: FinalResponse, verdict: Verdict & { kind: 'whole' | 'rest' }): Promise<Downloaded>;
  /** The sink had everything. */
  takeNothing(answer: FinalResponse): Promise<Downloaded>;
  /** After a try that ended with this error: whether so much has come that tries are counted anew. */
  hasProgressed(error: unknown): boolean;
};

export function createTransfer(
  { options, limiter }: HttpContext,
  { sink, known, immutable = false, size, onStart, onProgress }: DownloadRequest,
  signal: AbortSignal,
): Transfer {
  const isKnown = known?.etag !== undefined || known?.lastModified !== undefined;
  let transferred = 0;
  /** Those of earlier runs count as one. */
  let responses = sink.bytes > 0 ? 1 : 0;
  /** The most bytes that the sink has held: only what is beyond them is progress. */
  let best = sink.bytes;
  const progress = createProgress(best);
  /** Of the last body that was taken. */
  let lastTotal = sink.total ?? size;
  let restarts = 0;
  let hasStartedOver = false;
  let fromStart = false;
  let mayResume = true;

  /** A server that makes us begin anew again and again does not get new tries for it without end. */
  async function restart({ total, validator }: Verdict & { kind: 'whole' }): Promise<void> {
    if (sink.bytes > 0) restarts += 1;
    if (restarts <= options.retries) progress.begin((best = 0));
    fromStart = false;
    responses = 0;
    await sink.restart({ ...(validator && { validator }), ...(total !== undefined && { total }) });
  }

  function checkSize(found: number): void {
    if (size === undefined || found === size) return;
    const message = `a body of ${found} bytes where one of ${size} is wanted`;
    throw new ImageError('SIZE_MISMATCH', message, { asked: size, found });
  }

  async function receive({ body, recycle, url }: FinalResponse, total: number | undefined): Promise<void> {
    lastTotal = total;
    await onStart?.({ ...(total !== undefined && { total }), resumedFrom: sink.bytes });
    responses += 1;
    let bytes = sink.bytes;
    const check = (more: number) => {
      bytes += more;
      if (size !== undefined && bytes > size) checkSize(bytes);
      if (total !== undefined && bytes > total) {
        [fromStart, mayResume] = [true, false];
        throw lengthMismatch(url, total, bytes);
      }
      checkLimit(bytes);
      transferred += more;
    };
    const onAppend = () => {
      best = Math.max(best, sink.bytes);
      onProgress?.(sink.bytes);
    };
    await pump(body, sink, { limiter, check, onAppend, recycle }, signal);
    if (total !== undefined && sink.bytes < total) throw lengthMismatch(url, total, sink.bytes);
  }

  function checkLimit(bytes: number): void {
    const maximum = options.limits.archiveBytes;
    if (bytes <= maximum) return;
    throw new ImageError('LIMIT_EXCEEDED', `more than ${maximum} bytes`, { limit: 'archive', maximum });
  }

  function complete({ headers }: FinalResponse): Downloaded {
    return { kind: 'complete', bytes: sink.bytes, transferred, responses, freshness: freshnessOf(headers) };
  }

  return {
    ask() {
      progress.begin(best);
      const isWhole = sink.bytes > 0 && (fromStart || !mayResume);
      return isWhole ? { kind: 'whole' } : askFor(sink, isKnown, immutable);
    },
    startOver(mayResumeLater) {
      if (hasStartedOver) return false;
      hasStartedOver = fromStart = true;
      mayResume = mayResumeLater;
      return true;
    },
    async take(answer, verdict) {
      const total = verdict.total ?? size;
      checkLimit(total ?? 0);
      if (total !== undefined) checkSize(total);
      if (verdict.kind === 'whole') await restart({ ...verdict, total });
      await receive(answer, total);
      return complete(answer);
    },
    async takeNothing(answer) {
      checkSize(sink.bytes);
      await onStart?.({ total: sink.bytes, resumedFrom: sink.bytes });
      responses += 1;
      return complete(answer);
    },
    hasProgressed: (error) =>
      progress.isEnough({ bytes: best, total: lastTotal, hasStalled: hasCode(error, 'STALLED') }),
  };
}

function lengthMismatch(url: string, expected: number, received: number): ImageError {
  const message = `${received} bytes came instead of ${expected}`;
  return new ImageError('LENGTH_MISMATCH', message, { url: showUrl(url), expected, received });
}

/** What a download asks for: everything, everything unless it is as known, or what is missing. */
export type Asked =
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
  /** Resuming has failed: once more from the start. A later range may be asked for, or ranges are not to be trusted. */
  | { readonly kind: 'start-over'; readonly mayResumeLater: boolean }
  /** The status is no answer to what was asked. */
  | { readonly kind: 'refused' };

/** The part of what is asked for that a sink needs. Without a validator bytes are worth nothing, unless they are `immutable`. */
function askFor({ bytes, total, validator }: Sink, isKnown: boolean, immutable: boolean): Asked {
  if (bytes > 0 && (validator || immutable)) return { kind: 'rest', from: bytes, total, validator };
  return { kind: bytes === 0 && isKnown ? 'unless-known' : 'whole' };
}

/** @see docs/rules.md H2, H4 */
export function judge(asked: Asked, status: number, headers: HeaderFields): Verdict {
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

/** The size of the whole, if a 206 begins where it should and agrees with what is known. */
function restTotal({ from, total }: Asked & { kind: 'rest' }, headers: HeaderFields): number | undefined {
  const range = parseContentRange(headerOf(headers, 'content-range'));
  if (!range || range.start !== from) return undefined;
  const length = contentLength(headers);
  if (length !== undefined && length !== range.end - range.start + 1) return undefined;
  if (total !== undefined && range.total !== undefined && range.total !== total) return undefined;
  return range.total ?? total;
}
