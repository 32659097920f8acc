import type { Readable } from 'node:stream';
import type { SecureContext } from 'node:tls';

import { Agent, type Dispatcher, Pool } from 'undici';

import { ImageError } from '../errors.ts';
import { requestTarget } from '../image/url.ts';
import { connectDirectly, type ReadInto, type Routes, targetOf } from './connect.ts';
import { createConnector, type Wiring } from './connector.ts';
import type { HttpOptions, TlsMaterial, TransportRequest } from './contract.ts';
import { authorizationOf, type ProxyAddress } from './proxy.ts';

/** The connections to origins and to proxies. */
export type Agents = {
  dispatch(request: TransportRequest, handler: Dispatcher.DispatchHandler): void;
  /** The proxy that forwards the plain http requests for this URL, if there is one. */
  forwarderOf(url: string): ProxyAddress | undefined;
  /** True while a connection ends by a reset, which makes a body without a length look complete. */
  isResetting(): boolean;
  /** Takes back the memory of a chunk of a body that is no longer read. */
  readonly recycle: (chunk: Uint8Array) => void;
  /** Ends the exchanges that are still under way. */
  close(): Promise<void>;
};

// The transport has timers of its own: those of undici fire late and do not cover the tunnels of proxies.
const settings = { maxHeaderSize: 64 * 1024, headersTimeout: 0, bodyTimeout: 0 };

export function openAgents(options: HttpOptions, routes: Routes): Agents {
  const { timeouts, insecureTls } = options;
  const closing = new AbortController();
  let isBeingReset = false;
  const buffers = createReadBuffers(settings.maxHeaderSize);
  const wiring: Wiring = {
    connectMs: timeouts.connectMs,
    headerBytes: settings.maxHeaderSize,
    secureContext: lazySecureContext(options.ca),
    insecureTls,
    closing: closing.signal,
    onSocket: (socket) => {
      socket.on('error', () => {
        isBeingReset = true;
        queueMicrotask(() => (isBeingReset = false));
      });
    },
  };
  const proxies = new Agent({
    factory: (origin) => {
      const url = new URL(origin);
      return new Pool(url, {
        ...settings,
        connect: createConnector(url, connectDirectly(targetOf(url, [])), wiring, { proxy: url.origin, isEnd: true }),
      });
    },
  });
  const origins = new Agent({
    factory: (origin) => {
      const url = new URL(origin);
      const isPlain = url.protocol === 'http:'; // a TLS socket has read buffers of its own
      const { open, proxy } = routes.routeTo(url, proxies, isPlain ? buffers.readInto : undefined);
      const material = options.tlsFor?.(url.host);
      const hostWiring = material && {
        ...wiring,
        secureContext: lazySecureContext(options.ca, material),
        insecureTls: insecureTls || (material.insecure ?? false),
      };
      return new Pool(url, {
        ...settings,
        connect: createConnector(url, open, hostWiring ?? wiring, proxy && { proxy: proxy.shown }),
      });
    },
  });

  return {
    dispatch({ method, url, headers: asked, content = null, body: source }, handler) {
      const parsed = new URL(url);
      // undici sends what can be iterated, but its type does not say so
      const body = source && source.bytes > 0 ? (source.open() as AsyncIterable<Uint8Array> & Readable) : content;
      const headers = source ? { ...asked, 'content-length': String(source.bytes) } : asked;
      const { origin, host } = parsed;
      const proxy = routes.forwarderOf(parsed);
      if (!proxy) {
        // by default undici ends the connection of a HEAD, for servers that send a body all the same
        const keeps = method === 'HEAD' && { reset: false };
        origins.dispatch({ origin, method, path: requestTarget(url), headers, body, ...keeps }, handler);
        return;
      }
      routes.check(parsed);
      const forwarded = {
        host,
        ...headers,
        ...authorizationOf(proxy),
      };
      // without a server name undici would open a new connection to an https proxy for each different Host header
      const request = {
        origin: proxy.origin,
        method,
        path: url,
        headers: forwarded,
        body,
        servername: proxy.origin.hostname,
      };
      proxies.dispatch(request, handler);
    },
    forwarderOf: (url) => routes.forwarderOf(new URL(url)),
    isResetting: () => isBeingReset,
    recycle: buffers.recycle,
    async close() {
      const reason = new ImageError('CANCELLED', 'the http client was closed', { reason: 'closed' });
      closing.abort(reason);
      await Promise.all([origins.destroy(reason), proxies.destroy(reason)]);
    },
  };
}

/** Creates the context at the first https connection: loading the module takes a while, and so does reading the root certificates. */
function lazySecureContext(
  ca: readonly string[] = [],
  material: TlsMaterial = { ca: [], pairs: [] },
): () => SecureContext {
  const authorities = [...ca, ...material.ca];
  const { pairs } = material;
  let context: SecureContext | undefined;
  const create = (): SecureContext => {
    const { createSecureContext, getCACertificates } = process.getBuiltinModule('node:tls');
    return createSecureContext({
      ...(authorities.length > 0 && { ca: [...getCACertificates('default'), ...authorities] }),
      ...(pairs.length > 0 && { cert: pairs.map(({ cert }) => cert), key: pairs.map(({ key }) => key) }),
    });
  };
  return () => (context ??= create());
}

/** The most bytes of one read. */
const readBytes = 256 * 1024;
/** The most unused buffers that are kept. */
const maxSpareBuffers = 32;

/** Buffers that sockets read into and that are used again: allocating memory for each read costs several times the read. */
type ReadBuffers = {
  readonly readInto: ReadInto;
  /** Takes back the memory of a chunk that is no longer read. A chunk of other memory is ignored. */
  readonly recycle: (chunk: Uint8Array) => void;
};

/**
 * @param copiedBytes - reads of at most this size are copied, and their buffer is used again at once. This must be the most that
 * headers can take, since undici's parser may keep references to pieces of a header.
 */
export function createReadBuffers(copiedBytes: number): ReadBuffers {
  const spare: Buffer[] = [];
  /** Buffers whose chunk is still being read, and how many bytes of each are filled. */
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
      const loan = lent.get(chunk.buffer);
      // only when its last bytes come back: before that, the parser may not have read the rest of the buffer
      if (!loan || chunk.byteOffset + chunk.byteLength !== loan.filled) return;
      lent.delete(chunk.buffer);
      if (spare.length < maxSpareBuffers) spare.push(loan.buffer);
    },
  };
}
