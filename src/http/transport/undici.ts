import { type Dispatcher, errors } from 'undici';

import { show } from '../../image/show.ts';
import type { Agents } from '../agents.ts';
import { connectCause } from '../connector.ts';
import type { HeaderFields, HttpTimeouts, Transport, TransportResponse } from '../contract.ts';
import { contentLength, headerList } from '../headers.ts';
import { malformedError, networkError } from '../network-error.ts';
import { proxyRefusal } from '../proxy.ts';
import { tellSending } from '../request-body.ts';

/** A body with more than this many unread bytes pauses its socket. */
const queueBytes = 256 * 1024;

/** A transport on undici's dispatcher. The streams of undici are not used: they would join, and so copy, the chunks. */
export function undiciTransport(agents: Agents, timeouts: HttpTimeouts): Transport {
  return (request, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<TransportResponse>();
    let controller: Dispatcher.DispatchController | undefined;
    let body: BodyQueue | undefined;
    let timer: NodeJS.Timeout | undefined;
    let received = 0;
    let expected: number | undefined;

    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    };
    const fail = (error: unknown) => {
      settle();
      reject(error);
      body?.fail(error);
    };
    const cancel = (reason: unknown) => {
      settle();
      controller?.abort(reason as Error);
    };
    const stop = () => {
      fail(signal.reason);
      cancel(signal.reason);
    };
    const onHeadersLate = () => {
      if (!body) controller?.abort(new errors.HeadersTimeoutError());
    };
    const start = (status: number, headers: HeaderFields) => {
      clearTimeout(timer);
      if (request.method !== 'HEAD') expected = contentLength(headers);
      body = bodyQueue(
        {
          pause: () => controller?.pause(),
          resume: () => controller?.resume(),
          cancel: () => cancel(new errors.RequestAbortedError()),
        },
        queueBytes,
      );
      resolve({ status, headers, body, recycle: agents.recycle });
    };
    const translate = (error: unknown) => {
      const { cause, proxy } = connectCause(error);
      const peer = { url: request.url, proxy, forwarder: agents.forwarderOf(request.url)?.shown };
      return networkError(cause, peer, timeouts, body && { received, expected });
    };

    const stopWaiting = () => clearTimeout(timer);
    const waitForHeaders = () => {
      clearTimeout(timer);
      if (!body && !signal.aborted) timer = setTimeout(() => setImmediate(onHeadersLate), timeouts.headersMs);
    };

    if (signal.aborted) return Promise.reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(started) {
        controller = started;
        if (signal.aborted) started.abort(signal.reason as Error);
        else waitForHeaders();
      },
      onResponseStart(started, status, headers) {
        const forwarder = status === 407 ? agents.forwarderOf(request.url) : undefined;
        const coding = headerList(headers as HeaderFields, 'transfer-encoding').trim();
        if (!/^(chunked|identity)?$/i.test(coding))
          started.abort(malformedError(`the transfer coding "${show(coding)}" is not chunked`));
        else if (forwarder) started.abort(proxyRefusal(forwarder, status));
        else start(status, headers as HeaderFields); // undici's type includes undefined, but its parser never gives it
      },
      onResponseData(_, chunk) {
        received += chunk.byteLength;
        // undici must see the end of a body now: if it is paused before, and the connection closes, it takes the body for cut
        body?.push(chunk, { isLast: received === expected });
      },
      onResponseEnd() {
        if (agents.isResetting()) return fail(translate(new errors.SocketError()));
        settle();
        body?.end();
      },
      onResponseError(_, error) {
        fail(translate(error));
      },
    };
    try {
      const sent = request.body && tellSending(request.body, stopWaiting, waitForHeaders);
      agents.dispatch(sent ? { ...request, body: sent } : request, handler);
    } catch (error) {
      fail(error);
    }
    return promise;
  };
}

/** A queue of chunks from a socket to one reader; chunks are neither joined nor copied. */
type BodyQueue = AsyncIterable<Uint8Array> & {
  /** @param about.isLast - the source has no more, so it is not paused. */
  push(chunk: Uint8Array, about: { readonly isLast: boolean }): void;
  end(): void;
  /** Makes the reader fail after the chunks that are in the queue. */
  fail(error: unknown): void;
};

/** The source of a queue, as the queue controls it. */
type Source = {
  readonly pause: () => void;
  readonly resume: () => void;
  /** Called when the reader stops before the end. */
  readonly cancel: () => void;
};

type Waiter = { resolve: (result: IteratorResult<Uint8Array, undefined>) => void; reject: (error: unknown) => void };

const done: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** @param highBytes - the source is paused above this many unread bytes, and resumed at half of them. */
function bodyQueue(source: Source, highBytes: number): BodyQueue {
  const chunks: Uint8Array[] = [];
  let waiting: Waiter | undefined;
  let bytes = 0;
  let isPaused = false;
  let outcome: { readonly error?: unknown } | undefined;

  const finish = (how: { readonly error?: unknown }) => {
    outcome ??= how;
    if (chunks.length > 0 || !waiting) return;
    if ('error' in outcome) waiting.reject(outcome.error);
    else waiting.resolve(done);
    waiting = undefined;
  };

  const iterator: AsyncIterator<Uint8Array, undefined> = {
    next() {
      const chunk = chunks.shift();
      if (chunk) {
        bytes -= chunk.byteLength;
        if (isPaused && bytes <= highBytes / 2) {
          isPaused = false;
          source.resume();
        }
        return Promise.resolve({ done: false, value: chunk });
      }
      return new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        if (outcome) finish(outcome);
      });
    },
    return() {
      chunks.length = 0;
      const isEarly = outcome === undefined;
      finish({});
      if (isEarly) source.cancel();
      return Promise.resolve(done);
    },
  };

  return {
    [Symbol.asyncIterator]: () => iterator,
    push(chunk, { isLast }) {
      if (outcome) return;
      if (waiting) {
        waiting.resolve({ done: false, value: chunk });
        waiting = undefined;
        return;
      }
      chunks.push(chunk);
      bytes += chunk.byteLength;
      if (!isPaused && !isLast && bytes > highBytes) {
        isPaused = true;
        source.pause();
      }
    },
    end: () => finish({}),
    fail: (error) => finish({ error }),
  };
}
