import { errors, type Dispatcher } from 'undici';

import { show } from '../image/show.ts';
import type { Agents } from './agents.ts';
import { bodyQueue, type BodyQueue } from './body-queue.ts';
import { connectCause } from './connector.ts';
import { contentLength, headerList } from './headers.ts';
import { malformed, networkError } from './network-error.ts';
import { proxyRefusal } from './proxy.ts';
import type { Headers, HttpTimeouts, Transport, TransportResponse } from './types.ts';

/** What a body may hold back before its socket is paused. */
const queueBytes = 256 * 1024;

/** The session over undici, straight on its dispatcher: its streams would join, and so copy, what the sockets bring. */
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
    const late = () => {
      if (!body) controller?.abort(new errors.HeadersTimeoutError());
    };
    const start = (status: number, headers: Headers) => {
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

    if (signal.aborted) return Promise.reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(started) {
        controller = started;
        if (signal.aborted) started.abort(signal.reason as Error);
        else timer = setTimeout(() => setImmediate(late), timeouts.headersMs);
      },
      onResponseStart(started, status, headers) {
        const forwarder = agents.forwarderOf(request.url);
        const coding = headerList(headers as Headers, 'transfer-encoding').trim();
        if (!/^(chunked|identity)?$/i.test(coding))
          started.abort(malformed(`the transfer coding "${show(coding)}" is not chunked`));
        else if (status === 407 && forwarder) started.abort(proxyRefusal(forwarder, status));
        else start(status, headers as Headers); // undici's type allows for undefined, its parser has none
      },
      onResponseData(_, chunk) {
        received += chunk.byteLength;
        body?.push(chunk);
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
      agents.dispatch(request, handler);
    } catch (error) {
      fail(error);
    }
    return promise;
  };
}
