import { ImageError } from '../errors.ts';
import { show, showUrl } from '../image/show.ts';
import type { Clock, HttpOptions, Pacing, Transport, TransportRequest, TransportResponse } from './contract.ts';
import { contentLength } from './headers.ts';
import type { HostHealth } from './host-health.ts';
import type { RateLimiter } from './pump.ts';
import { paceBody, type Slowness } from './request-body.ts';

/** What all requests of one client share. */
export type HttpContext = {
  readonly transport: Transport;
  readonly options: HttpOptions;
  readonly clock: Clock;
  /** Limits the rate of what is received from a URL or sent to it, together with all others. @param urls - the one asked for, and the last redirect */
  readonly limiterOf: (urls: readonly string[]) => RateLimiter | undefined;
  readonly health: HostHealth;
};

/** The unused rest of a body of at most this size is read, so that the connection can be used again. */
const restBytes = 64 * 1024;
/** The longest time that this may take. */
const restMs = 250;
/** The time over which the rate of a body is averaged. */
const windowMs = 5000;

/** The abort reason of an exchange that is no longer used. It is shared: each abort without a reason would create an error. */
const exchangeOver = new Error('the exchange is over');

/** The abort reason of an exchange that gives up its connection to other transfers. */
export const connectionGivenUp = new Error('the connection was given up for others');

/**
 * Sends one request and passes its answer to `use`; the answer is valid until `use` ends. Its body fails with STALLED when it is
 * too slow, and with `givenUp` when the connection is to be given up.
 *
 * @throws what the transport and `use` throw; the signal's reason once that is aborted.
 */
export async function withExchange<T>(
  { transport, options, clock, limiterOf }: HttpContext,
  asked: TransportRequest,
  { pacing, answerMs }: { readonly pacing: Pacing | undefined; readonly answerMs: number | undefined },
  use: (response: TransportResponse) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  signal.throwIfAborted();
  const exchange = new AbortController();
  const stop = () => exchange.abort(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  const onOver = pacing?.onConnection(() => exchange.abort(connectionGivenUp));
  const pace = { stallMs: options.timeouts.stallMs, minRate: options.minRate, windowMs };
  const onSlow = ({ bytes, what }: Slowness): void => {
    const details = { url: showUrl(asked.url), bytes };
    const host = show(new URL(asked.url).host);
    exchange.abort(new ImageError('STALLED', `${what}, after ${bytes} bytes (${host})`, details));
  };
  const sending = { ...pace, limiter: asked.body && limiterOf([asked.url]), pacing, clock, onSlow };
  const sent = asked.body && paceBody(asked.body, sending, exchange.signal);
  const request = sent ? { ...asked, body: sent } : asked;
  try {
    pacing?.onWaiting(true);
    const timer =
      answerMs === undefined ? undefined : setTimeout(() => exchange.abort(unanswered(request, answerMs)), answerMs);
    const response = await transport(request, exchange.signal).finally(() => clearTimeout(timer));
    pacing?.onAnswer(response.status);
    pacing?.onWaiting(false);
    const body = watchPace(response.body, pace, clock, onSlow, pacing);
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

/** Ends an exchange: reads the rest of a small body, so that the connection can be used again; otherwise aborts. */
async function finish(
  { headers }: TransportResponse,
  body: AsyncIterable<Uint8Array>,
  exchange: AbortController,
): Promise<void> {
  const isSmall = (contentLength(headers) ?? Infinity) <= restBytes;
  if (isSmall && (await readRest(body, exchange))) return;
  exchange.abort(exchangeOver);
}

/** @returns whether the body was read to its end. */
async function readRest(body: AsyncIterable<Uint8Array>, exchange: AbortController): Promise<boolean> {
  const timer = setTimeout(() => exchange.abort(exchangeOver), restMs);
  try {
    const rest = body[Symbol.asyncIterator]();
    while (!(await rest.next()).done);
    return true;
  } catch {
    return false; // the failure of an unused answer does not matter
  } finally {
    clearTimeout(timer);
  }
}

/** What a body must keep to: a chunk within each `stallMs`, and `minRate` bytes a second over each `windowMs` of waiting. */
type Pace = { readonly stallMs: number; readonly minRate: number | undefined; readonly windowMs: number };

/**
 * Passes a body on and calls `onSlow`, which must end the body, once it is too slow. Only time spent waiting for the server counts,
 * not time that the reader takes. A timer that fires checks after one poll of the sockets: when the thread was busy, timers run
 * before the data that has arrived meanwhile is read.
 */
export async function* watchPace(
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
    if (!isWaiting) return; // the time of the reader does not count, even if that ends before the check below
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
