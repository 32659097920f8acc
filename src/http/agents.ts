import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';

import { Agent, Pool, type Dispatcher } from 'undici';

import { ImageError } from '../errors.ts';
import { requestTarget } from '../image/url.ts';
import { targetOf, directly, type ReadInto, type Routes } from './connect.ts';
import { createConnector, type Wiring } from './connector.ts';
import { authorizationOf, type ProxyAddress } from './proxy.ts';
import type { HttpOptions, TlsMaterial, TransportRequest } from './contract.ts';

/** The connections to origins and to proxies. */
export type Agents = {
  dispatch(request: TransportRequest, handler: Dispatcher.DispatchHandler): void;
  /** Who answers in the place of the origin, if anybody does. */
  forwarderOf(url: string): ProxyAddress | undefined;
  /** True while a reset tears a connection down, which makes a body without a length look complete. */
  isResetting(): boolean;
  /** Of a body, what nobody looks at any more. */
  readonly recycle: (chunk: Uint8Array) => void;
  /** Cuts what is still under way. */
  close(): Promise<void>;
};

// Time is kept by the transport: undici waits longer than it says, and does not cover the tunnels of proxies.
const settings = { maxHeaderSize: 64 * 1024, headersTimeout: 0, bodyTimeout: 0 };

export function openAgents(options: HttpOptions, routes: Routes): Agents {
  const { timeouts, insecureTls } = options;
  const closing = new AbortController();
  let resetting = false;
  const buffers = createReadBuffers(settings.maxHeaderSize);
  const wiring: Wiring = {
    connectMs: timeouts.connectMs,
    headerBytes: settings.maxHeaderSize,
    secureContext: lazySecureContext(options.ca),
    insecureTls,
    closing: closing.signal,
    onSocket: (socket) => {
      socket.on('error', () => {
        resetting = true;
        queueMicrotask(() => (resetting = false));
      });
    },
  };
  const proxies = new Agent({
    factory: (origin) => {
      const url = new URL(origin);
      return new Pool(url, {
        ...settings,
        connect: createConnector(url, directly(targetOf(url, [])), wiring, { proxy: url.origin, isEnd: true }),
      });
    },
  });
  const origins = new Agent({
    factory: (origin) => {
      const url = new URL(origin);
      const isPlain = url.protocol === 'http:'; // TLS reads for itself
      const { open, proxy } = routes.routeTo(url, proxies, isPlain ? buffers.readInto : undefined);
      const material = options.tlsFor?.(url.host);
      const own = material && {
        ...wiring,
        secureContext: lazySecureContext(options.ca, material),
        insecureTls: insecureTls || (material.insecure ?? false),
      };
      return new Pool(url, {
        ...settings,
        connect: createConnector(url, open, own ?? wiring, proxy && { proxy: proxy.shown }),
      });
    },
  });

  return {
    dispatch({ method, url, headers, content = null }, handler) {
      const asked = new URL(url);
      const { origin, host } = asked;
      const proxy = routes.forwarderOf(asked);
      if (!proxy) {
        origins.dispatch({ origin, method, path: requestTarget(url), headers, body: content }, handler);
        return;
      }
      routes.check(asked);
      const forwarded = {
        host,
        ...headers,
        ...authorizationOf(proxy),
      };
      // without a server name undici would connect anew to an https proxy for every other Host header
      const request = {
        origin: proxy.origin,
        method,
        path: url,
        headers: forwarded,
        body: content,
        servername: proxy.origin.hostname,
      };
      proxies.dispatch(request, handler);
    },
    forwarderOf: (url) => routes.forwarderOf(new URL(url)),
    isResetting: () => resetting,
    recycle: buffers.recycle,
    async close() {
      const reason = new ImageError('CANCELLED', 'the http client was closed', { reason: 'closed' });
      closing.abort(reason);
      await Promise.all([origins.destroy(reason), proxies.destroy(reason)]);
    },
  };
}

/** Made at the first https connection: to read the roots takes a while. */
function lazySecureContext(
  ca: readonly string[] = [],
  material: TlsMaterial = { ca: [], pairs: [] },
): () => SecureContext {
  const more = [...ca, ...material.ca];
  const { pairs } = material;
  let context: SecureContext | undefined;
  return () =>
    (context ??= createSecureContext({
      ...(more.length > 0 && { ca: [...getCACertificates('default'), ...more] }),
      ...(pairs.length > 0 && { cert: pairs.map(({ cert }) => cert), key: pairs.map(({ key }) => key) }),
    }));
}

/** What one look at a socket may bring. */
const readBytes = 256 * 1024;
/** How many buffers wait to be used again, at most. */
const spareBuffers = 32;

/** What sockets read into, used again and again: to make memory for each read costs several times the read itself. */
type ReadBuffers = {
  readonly readInto: ReadInto;
  /** Takes back the memory of a chunk that nobody looks at any more; whose is not known is left to the collector. */
  readonly recycle: (chunk: Uint8Array) => void;
};

/**
 * @param copiedBytes - what is not larger is copied, and its buffer kept: a parser may hold on to pieces of a header, so
 * this is to be the most that a header can take.
 */
export function createReadBuffers(copiedBytes: number): ReadBuffers {
  const spare: Buffer[] = [];
  /** Buffers that are with a reader, and how much of each was filled. */
  const lent = new WeakMap<ArrayBufferLike, { readonly buffer: Buffer; readonly filled: number }>();
  const take = () => spare.pop() ?? Buffer.allocUnsafeSlow(readBytes);

  return {
    readInto(push) {
      let buffer = take();
      return {
        buffer: () => buffer,
        callback(bytes) {
          const chunk = buffer.subarray(0, bytes);
          if (bytes <= copiedBytes) return push(Buffer.from(chunk));
          lent.set(buffer.buffer, { buffer, filled: bytes });
          buffer = take();
          return push(chunk);
        },
      };
    },
    recycle(chunk) {
      const of = lent.get(chunk.buffer);
      // only once its last bytes come back: of what lies before the end, a parser may not have seen the rest
      if (!of || chunk.byteOffset + chunk.byteLength !== of.filled) return;
      lent.delete(chunk.buffer);
      if (spare.length < spareBuffers) spare.push(of.buffer);
    },
  };
}
