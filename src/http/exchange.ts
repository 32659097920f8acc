import { ImageError } from '../errors.ts';
import type { HostQuota, HostTraffic } from '../events.ts';
import { show, showUrl } from '../image/show.ts';
import type {
  Clock,
  HeaderFields,
  HttpObserver,
  HttpOptions,
  Pacing,
  RequestOptions,
  Traffic,
  Transport,
  TransportRequest,
  TransportResponse,
} from './contract.ts';
import { contentLength, headerOf } from './headers.ts';
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
  {
    host,
    pacing,
    traffic,
    answerMs,
    pace: own,
  }: Pick<{ [K in keyof HttpObserver]: HttpObserver[K] | undefined }, 'pacing' | 'traffic'> & {
    /** That of the URL. */
    readonly host: string;
    readonly answerMs: number | undefined;
    readonly pace: RequestOptions['pace'] | undefined;
  },
  use: (response: TransportResponse) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  signal.throwIfAborted();
  const exchange = new AbortController();
  const stop = () => exchange.abort(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  const received = { bytes: 0, isWhole: false };
  const sent = { bytes: 0 };
  let answer: TransportResponse | undefined;
  const onEnd = traffic?.begin(host);
  const onOver = pacing?.onConnection(() => exchange.abort(connectionGivenUp));
  const pace = {
    stallMs: Math.min(options.timeouts.stallMs, own?.stallMs ?? Infinity),
    minRate: own ? Math.max(options.minRate ?? 0, own.minRate) : options.minRate,
    windowMs,
  };
  const onSlow = ({ bytes, what }: Slowness): void => {
    const details = { url: showUrl(asked.url), bytes };
    exchange.abort(new ImageError('STALLED', `${what}, after ${bytes} bytes (${show(host)})`, details));
  };
  const sending = asked.body && { ...pace, limiter: limiterOf([asked.url]), pacing, clock, onSlow, sent };
  const paced = sending && paceBody(asked.body, sending, exchange.signal);
  const request = paced ? { ...asked, body: paced } : asked;
  try {
    pacing?.onWaiting(true);
    const timer =
      answerMs === undefined ? undefined : setTimeout(() => exchange.abort(unanswered(request, answerMs)), answerMs);
    const response = await transport(request, exchange.signal).finally(() => clearTimeout(timer));
    answer = response;
    pacing?.onAnswer(response.status);
    pacing?.onWaiting(false);
    const body = watchPace(response.body, pace, clock, onSlow, pacing, received);
    try {
      return await use({ ...response, body });
    } finally {
      if (!received.isWhole) await finish(response, body, exchange);
    }
  } finally {
    signal.removeEventListener('abort', stop);
    pacing?.onWaiting(false);
    onOver?.();
    if (answer && asked.content !== undefined) sent.bytes += Buffer.byteLength(asked.content);
    onEnd?.(answer && { ...answer, method: asked.method }, received.bytes, sent.bytes);
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
  received = { bytes: 0, isWhole: false },
): AsyncGenerator<Uint8Array, void> {
  let isWaiting = true;
  const silence = setTimeout(() => {
    const before = received.bytes;
    if (!isWaiting) return; // the time of the reader does not count, even if that ends before the check below
    setImmediate(() => {
      if (isWaiting && received.bytes === before)
        onSlow({ bytes: before, what: `nothing came for ${stallMs / 1000} s` });
    });
  }, stallMs);

  let since = clock.monotonic();
  let waitedMs = 0;
  let windowBytes = 0;
  const measure = () => {
    const spent = waitedMs + (isWaiting ? clock.monotonic() - since : 0);
    if (minRate === undefined || spent < windowMs) return;
    if (windowBytes * 1000 < minRate * spent)
      onSlow({ bytes: received.bytes, what: `less than ${minRate} bytes a second` });
    [waitedMs, windowBytes, since] = [0, 0, clock.monotonic()];
  };
  const rate = minRate === undefined ? undefined : setInterval(() => setImmediate(measure), windowMs / 10);

  pacing?.onWaiting(true);
  try {
    for await (const chunk of body) {
      isWaiting = false;
      received.bytes += chunk.byteLength;
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
    received.isWhole = true;
  } finally {
    clearTimeout(silence);
    clearInterval(rate);
    pacing?.onWaiting(false);
  }
}

/** Of so many hosts the traffic is counted, and together that of all others, whose names are outside data without end. */
const mostHosts = 100;
const longestHost = 300;
const otherHosts = 'other';

type Counts = { -readonly [K in keyof HostTraffic]: HostTraffic[K] } & { open: number };

const nothing = { requests: 0, bytesReceived: 0, bytesSent: 0, retries: 0, refusals: 0, concurrency: 0, counted: 0 };

export function createTraffic(): Traffic {
  const hosts = new Map<string, Counts>();
  const countsOf = (asked: string): Counts => {
    const hasRoom = hosts.size < mostHosts && asked.length <= longestHost;
    const host = hosts.has(asked) || hasRoom ? asked : otherHosts;
    const known = hosts.get(host);
    if (known) return known;
    const counts = { host, ...nothing, open: 0 };
    hosts.set(host, counts);
    return counts;
  };
  return {
    begin(asked) {
      const counts = countsOf(asked);
      counts.requests += 1;
      counts.open += 1;
      counts.concurrency = Math.max(counts.concurrency, counts.open);
      return (answer, bytesReceived, bytesSent) => {
        counts.open -= 1;
        counts.bytesReceived += bytesReceived;
        counts.bytesSent += bytesSent;
        if (!answer) return;
        if (answer.status === 429 || answer.status === 503) counts.refusals += 1;
        const quota = quotaOf(answer.headers);
        if (!quota || counts.host === otherHosts) return; // each of them has its own
        counts.quota = quota;
        if (answer.method === 'GET') counts.counted += 1;
      };
    },
    retried: (host) => void (countsOf(host).retries += 1),
    read: () => [...hosts.values()].map(({ open: _, ...counts }) => counts),
  };
}

/** `100;w=21600`: so many requests in so many seconds. */
const quotaValue = /^\s*(\d{1,12})\s*(?:;\s*w\s*=\s*(\d{1,9})\s*)?$/;

/** What `ratelimit-limit` and `ratelimit-remaining` say. @see https://docs.docker.com/docker-hub/usage/pulls/ */
function quotaOf(headers: HeaderFields): HostQuota | undefined {
  const limit = valueOf(headers, 'ratelimit-limit');
  if (!limit) return undefined;
  const remaining = valueOf(headers, 'ratelimit-remaining');
  return {
    limit: limit.count,
    ...(remaining && { remaining: remaining.count }),
    ...(limit.seconds !== undefined && { windowSeconds: limit.seconds }),
  };
}

function valueOf(
  headers: HeaderFields,
  name: string,
): { readonly count: number; readonly seconds?: number } | undefined {
  const text = headerOf(headers, name);
  const [, count, seconds] = (text !== undefined && text.length <= 64 && quotaValue.exec(text)) || [];
  if (count === undefined) return undefined;
  return { count: Number(count), ...(seconds !== undefined && { seconds: Number(seconds) }) };
}
