import { hasCode, ImageError } from '../errors.ts';
import { showUrl } from '../image/show-url.ts';
import type { HttpContext } from './context.ts';
import { createProgress } from './progress.ts';
import { pump } from './pump.ts';
import type { Answer } from './redirects.ts';
import { askFor, type Asked, type Verdict } from './resume.ts';
import type { Downloaded, DownloadRequest } from './types.ts';
import { freshnessOf } from './validator.ts';

/** The state of one download, over all its tries. */
export type Transfer = {
  /** What the next request is to ask for. */
  ask(): Asked;
  /** The next request is for everything. @returns false if that has been tried already. */
  startOver(mayResumeLater: boolean): boolean;
  /** Takes the body of an answer into the sink, which is emptied first for a whole one. */
  take(answer: Answer, verdict: Verdict & { kind: 'whole' | 'rest' }): Promise<Downloaded>;
  /** The sink had everything. */
  takeNothing(answer: Answer): Promise<Downloaded>;
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

  async function receive({ body, recycle, url }: Answer, total: number | undefined): Promise<void> {
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

  function complete({ headers }: Answer): Downloaded {
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
