import { ImageError } from '../errors.ts';
import { showUrl, show } from '../image/show.ts';
import type { HttpContext, Clock } from './open-http.ts';
import { contentLength } from './headers.ts';
import type { Pacing, TransportRequest, TransportResponse } from './contract.ts';

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

/** What a body has to keep up: no silence of `stallMs`, and `minRate` bytes a second over each `windowMs` of waiting. */
type Pace = { readonly stallMs: number; readonly minRate: number | undefined; readonly windowMs: number };

export type Slowness = { readonly bytes: number; readonly what: string };

/**
 * Passes a body on and calls `onSlow`, which has to end it, once it does not keep pace. Only time spent waiting for the
 * other side counts: a reader that takes its time makes no server slow. Verdicts wait for one look at the sockets, since
 * a thread that was busy finds its timers first and what came meanwhile thereafter.
 */
export async function* watched(
  body: AsyncIterable<Uint8Array>,
  { stallMs, minRate, windowMs }: Pace,
  clock: Clock,
  onSlow: (slowness: Slowness) => void,
  pacing?: Pacing,
): AsyncGenerator<Uint8Array, void> {
  let bytes = 0;
  let isWaiting = true;
  const silence = setTimeout(() => {
    const before = bytes;
    setImmediate(() => {
      if (isWaiting && bytes === before) onSlow({ bytes, what: `nothing came for ${stallMs / 1000} s` });
    });
  }, stallMs);

  let since = clock.monotonic();
  let waitedMs = 0;
  let windowBytes = 0;
  const measure = () => {
    const spent = waitedMs + (isWaiting ? clock.monotonic() - since : 0);
    if (minRate === undefined || spent < windowMs) return;
    if (windowBytes * 1000 < minRate * spent) onSlow({ bytes, what: `less than ${minRate} bytes a second` });
    [waitedMs, windowBytes, since] = [0, 0, clock.monotonic()];
  };
  const rate = minRate === undefined ? undefined : setInterval(() => setImmediate(measure), windowMs / 10);

  pacing?.onWaiting(true);
  try {
    for await (const chunk of body) {
      isWaiting = false;
      bytes += chunk.byteLength;
      pacing?.onWaiting(false);
      pacing?.onBytes(chunk.byteLength);
      if (rate) {
        waitedMs += clock.monotonic() - since;
        windowBytes += chunk.byteLength;
      }
      yield chunk;
      isWaiting = true;
      pacing?.onWaiting(true);
      if (rate) since = clock.monotonic();
      silence.refresh();
    }
  } finally {
    clearTimeout(silence);
    clearInterval(rate);
    pacing?.onWaiting(false);
  }
}
