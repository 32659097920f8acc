import { ImageError } from '../errors.ts';
import { showUrl } from '../image/show-url.ts';
import { show } from '../image/show.ts';
import type { HttpContext } from './context.ts';
import { contentLength } from './headers.ts';
import type { Pacing, TransportRequest, TransportResponse } from './types.ts';
import { watched, type Slowness } from './watch.ts';

/** A body so small is read to its end when nobody wants it, so that the connection can serve again. */
const restBytes = 64 * 1024;
const restMs = 250;
const windowMs = 5000;

/** Why an exchange ends when its use has ended; an abort without a reason makes one, with a stack, each time. */
const over = new Error('the exchange is over');

/** Why an exchange ends that gives up its connection so that others may have it. */
export const givenUp = new Error('the connection was given up for others');

/**
 * One request and its answer, which lives as long as `use` runs; its body fails with STALLED when it does not keep pace,
 * and with `givenUp` when others are to have the connection.
 *
 * @throws what the transport and `use` throw; the signal's reason once that is aborted.
 */
export async function withExchange<T>(
  { transport, options, clock }: HttpContext,
  request: TransportRequest,
  { pacing, answerMs }: { readonly pacing: Pacing | undefined; readonly answerMs: number | undefined },
  use: (response: TransportResponse) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  signal.throwIfAborted();
  const exchange = new AbortController();
  const stop = () => exchange.abort(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  const onOver = pacing?.onConnection(() => exchange.abort(givenUp));
  try {
    pacing?.onWaiting(true);
    const late =
      answerMs === undefined ? undefined : setTimeout(() => exchange.abort(unanswered(request, answerMs)), answerMs);
    const response = await transport(request, exchange.signal).finally(() => clearTimeout(late));
    pacing?.onAnswer();
    pacing?.onWaiting(false);
    const pace = { stallMs: options.timeouts.stallMs, minRate: options.minRate, windowMs };
    const onSlow = ({ bytes, what }: Slowness): void => {
      const details = { url: showUrl(request.url), bytes };
      const from = show(new URL(request.url).host);
      exchange.abort(new ImageError('STALLED', `${what}, after ${bytes} bytes (${from})`, details));
    };
    const body = watched(response.body, pace, clock, onSlow, pacing);
    try {
      return await use({ ...response, body });
    } finally {
      await finish(response, body, exchange);
    }
  } finally {
    signal.removeEventListener('abort', stop);
    pacing?.onWaiting(false);
    onOver?.();
  }
}

function unanswered({ url }: TransportRequest, waitedMs: number): ImageError {
  return new ImageError('TIMEOUT', `no answer within ${waitedMs / 1000} s`, { url: showUrl(url), waitedMs });
}

/** Leaves nothing of an answer behind, and the connection usable if that is cheap. */
async function finish(
  { headers }: TransportResponse,
  body: AsyncIterable<Uint8Array>,
  exchange: AbortController,
): Promise<void> {
  const isSmall = (contentLength(headers) ?? Infinity) <= restBytes;
  if (isSmall && (await isReadOut(body, exchange))) return;
  exchange.abort(over);
}

/** Whether nothing of it is left. */
async function isReadOut(body: AsyncIterable<Uint8Array>, exchange: AbortController): Promise<boolean> {
  const timer = setTimeout(() => exchange.abort(over), restMs);
  try {
    const rest = body[Symbol.asyncIterator]();
    while (!(await rest.next()).done);
    return true;
  } catch {
    return false; // an answer that is not wanted may fail
  } finally {
    clearTimeout(timer);
  }
}
