import { isUint8Array } from 'node:util/types';

import { ImageError, isImageError } from '../../errors.ts';
import { show, showUrl } from '../../image/show.ts';
import { abortable } from '../../system/single-flight.ts';
import type { HeaderFields, HttpTimeouts, Transport, TransportRequest, TransportResponse } from '../contract.ts';
import { contentLength } from '../headers.ts';
import { networkError, type Progress } from '../network-error.ts';
import { tellSending } from '../request-body.ts';

/** The abort reason of an exchange whose body is no longer read. */
const bodyLeft = new Error('the rest of the body is not wanted');

/**
 * Makes of a user's transport one that keeps the contract: it answers in time or rejects with TIMEOUT, it and its body reject at once
 * when the signal is aborted, errors of the network have their codes, header names are in lower case, and an answer that is none is
 * RESPONSE_INVALID.
 */
export function ownTransport(transport: Transport, { connectMs, headersMs }: HttpTimeouts): Transport {
  return async (request, signal) => {
    signal.throwIfAborted();
    const waitedMs = connectMs + headersMs;
    const exchange = openExchange(request, signal);
    let isAnswered = false;
    // the check comes after one poll of the sockets: when the thread was busy, timers run before what has arrived is read
    const onLate = () => {
      if (!isAnswered) exchange.end(lateAnswer(request.url, waitedMs));
    };
    const wait = () => setTimeout(() => setImmediate(onLate), waitedMs);
    let timer: NodeJS.Timeout | undefined = wait();
    const stopWaiting = () => {
      clearTimeout(timer);
      timer = undefined;
    };
    const waitAgain = () => {
      if (!isAnswered) timer ??= wait();
    };
    const { body } = request;
    const sent = body ? { ...request, body: tellSending(body, stopWaiting, waitAgain) } : request;
    try {
      const answer = (async (): Promise<unknown> => transport(sent, exchange.signal))();
      answer.then((late) => exchange.dropIfOver(late)).catch(() => undefined);
      const response = checkAnswer(await exchange.race(answer), request.url);
      return { ...response, body: checkedBody(response, request, exchange) };
    } catch (error) {
      const known = exchange.translate(error, undefined);
      exchange.end(known);
      throw known;
    } finally {
      isAnswered = true;
      clearTimeout(timer);
    }
  };
}

type Exchange = {
  /** Aborted with the signal of the request, and when the exchange has failed or is no longer needed. */
  readonly signal: AbortSignal;
  end(reason: unknown): void;
  /** Rejects with the signal's reason once that is aborted, whatever becomes of the promise. */
  race<T>(promise: Promise<T>): Promise<T>;
  /** Ends the body of an answer that came after the exchange was over. */
  dropIfOver(answer: unknown): void;
  translate(error: unknown, progress: Progress): unknown;
};

function openExchange({ url }: TransportRequest, signal: AbortSignal): Exchange {
  const controller = new AbortController();
  const startedMs = performance.now();
  const stop = () => end(signal.reason);
  const end = (reason: unknown) => {
    signal.removeEventListener('abort', stop);
    controller.abort(reason);
  };
  signal.addEventListener('abort', stop, { once: true });
  return {
    signal: controller.signal,
    end,
    // a promise raced with all chunks would keep each of them until the exchange ends
    race: (promise) => abortable(promise, controller.signal),
    dropIfOver(answer) {
      if (controller.signal.aborted && isObject(answer) && isAsyncIterable(answer['body']))
        leave(iterate(answer['body']));
    },
    translate(error, progress) {
      return controller.signal.aborted
        ? (controller.signal.reason as unknown)
        : translate(error, url, performance.now() - startedMs, progress);
    },
  };
}

function lateAnswer(url: string, waitedMs: number): ImageError {
  const message = `no answer from ${show(URL.parse(url)?.host ?? '')} within ${waitedMs / 1000} s`;
  return new ImageError('TIMEOUT', message, { url: showUrl(url), waitedMs });
}

/** @throws RESPONSE_INVALID */
function checkAnswer(answer: unknown, url: string): TransportResponse {
  if (!isObject(answer)) throw invalid(url, 'its answer is not an object');
  const { status, headers, body, recycle } = answer;
  if (typeof status !== 'number' || !Number.isInteger(status) || status < 200 || status > 999) {
    throw invalid(url, `its status is ${show(String(status), 100)}, not a number of three digits from 200`);
  }
  if (!isAsyncIterable(body)) throw invalid(url, 'its body is not an async iterable');
  if (recycle !== undefined && typeof recycle !== 'function') throw invalid(url, 'its recycle is not a function');
  return {
    status,
    headers: checkHeaders(headers, url),
    body: body as AsyncIterable<Uint8Array>, // each chunk is checked when it comes
    ...(recycle && { recycle: (chunk) => void recycle.call(answer, chunk) }),
  };
}

/** Headers with names in lower case; those whose names differ only in case become one list. @throws RESPONSE_INVALID */
function checkHeaders(headers: unknown, url: string): HeaderFields {
  // a Map or the Headers of fetch would look like an object without any
  if (!isObject(headers) || Symbol.iterator in headers) throw invalid(url, 'its headers are not a plain object');
  const checked = Object.create(null) as Record<string, string | readonly string[]>;
  for (const [written, value] of Object.entries(headers)) {
    const name = written.toLowerCase();
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (!values.every((one) => typeof one === 'string')) {
      throw invalid(url, `its header ${show(name, 100)} is neither a string nor a list of strings`);
    }
    const all = [...[checked[name] ?? []].flat(), ...values];
    checked[name] = all.length === 1 && all[0] !== undefined ? all[0] : all;
  }
  return checked;
}

function invalid(url: string, problem: string): ImageError<'RESPONSE_INVALID'> {
  return new ImageError('RESPONSE_INVALID', `what the own transport gave is not an HTTP response: ${problem}`, {
    url: showUrl(url),
  });
}

function checkedBody(
  { body, headers }: TransportResponse,
  { url, method }: TransportRequest,
  exchange: Exchange,
): AsyncIterable<Uint8Array> {
  const expected = method === 'HEAD' ? undefined : contentLength(headers);
  let received = 0;
  let source: AsyncIterator<unknown> | undefined;
  const fail = (error: unknown): never => {
    const known = exchange.translate(error, { received, expected });
    exchange.end(known);
    if (source) leave(source);
    throw known;
  };
  const iterator: AsyncIterator<Uint8Array, undefined> = {
    async next() {
      try {
        const iterating = (source ??= iterate(body));
        const result = await exchange.race((async () => iterating.next())());
        if (result.done) {
          exchange.end(bodyLeft);
          return { done: true, value: undefined };
        }
        const { value } = result;
        if (!isUint8Array(value)) throw invalid(url, 'a chunk of its body is not a Uint8Array');
        received += value.byteLength;
        return { done: false, value };
      } catch (error) {
        return fail(error);
      }
    },
    return() {
      exchange.end(bodyLeft);
      leave((source ??= iterate(body)));
      return Promise.resolve({ done: true, value: undefined });
    },
  };
  return { [Symbol.asyncIterator]: () => iterator };
}

function iterate(body: AsyncIterable<unknown>): AsyncIterator<unknown> {
  return body[Symbol.asyncIterator]();
}

/** Ends an iteration without waiting for it, since it may never end. */
function leave(iterator: AsyncIterator<unknown>): void {
  (async () => iterator.return?.())().catch(() => undefined);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return isObject(value) && typeof (value as { [Symbol.asyncIterator]?: unknown })[Symbol.asyncIterator] === 'function';
}

/** How many errors are looked at below the one that was thrown. */
const deepest = 8;

/** Gives what a user's code has thrown the code that the built-in client would; what is not of the network is returned unchanged. */
function translate(thrown: unknown, url: string, waitedMs: number, progress: Progress): unknown {
  const rounded = Math.round(waitedMs);
  const timeouts = { connectMs: rounded, headersMs: rounded, stallMs: rounded };
  let error = thrown;
  for (let depth = 0; depth < deepest && error instanceof Error; depth += 1) {
    const known = networkError(error, { url, proxy: undefined, forwarder: undefined }, timeouts, progress);
    if (isImageError(known) && known.code !== 'CANCELLED') return known;
    error = error instanceof AggregateError && error.cause === undefined ? error.errors[0] : error.cause;
  }
  return unnamedFailure(thrown, url, rounded) ?? thrown;
}

/** What fetch and undici throw for the network without a code that says more. */
function unnamedFailure(error: unknown, url: string, waitedMs: number): ImageError | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error.name === 'TimeoutError') {
    const message = `the own transport waited no longer: ${show(error.message)}`;
    return new ImageError('TIMEOUT', message, { url: showUrl(url), waitedMs }, { cause: error });
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const isOfFetch = error instanceof TypeError && /^(fetch failed|terminated)$/.test(error.message);
  const isOfUndici = /^UND_ERR_/.test(code) && !/^UND_ERR_(INVALID|NOT_SUPPORTED|REQ_)/.test(code);
  if (!isOfFetch && !isOfUndici) return undefined;
  const message = `${show(error.message)} (${show(URL.parse(url)?.host ?? '')})`;
  return new ImageError(
    'NETWORK',
    message,
    { url: showUrl(url), ...(code !== '' && { reason: show(code) }) },
    { cause: error },
  );
}
