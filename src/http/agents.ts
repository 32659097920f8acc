import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';

import { Agent, Pool, type Dispatcher } from 'undici';

import { ImageError } from '../errors.ts';
import { requestTarget } from '../image/url.ts';
import { targetOf, directly, throughSocks, throughTunnel, createReadBuffers } from './connect.ts';
import { createConnector, type Wiring } from './connector.ts';
import type { DenyNet } from './deny-net.ts';
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

/** Where connections may go, and through what. */
export type Routes = {
  readonly denyNet: DenyNet | undefined;
  readonly proxyFor: (url: URL) => ProxyAddress | undefined;
};

export function openAgents(options: HttpOptions, { denyNet, proxyFor }: Routes): Agents {
  const { timeouts, connectTo, insecureTls } = options;
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
      const [target, proxy] = [targetOf(url, connectTo), proxyFor(url)];
      const plain = url.protocol === 'http:' ? buffers : undefined; // TLS reads for itself
      const open =
        proxy?.kind === 'http'
          ? throughTunnel(target, proxy, proxies, denyNet)
          : proxy
            ? throughSocks(target, proxy, denyNet)
            : directly(target, denyNet, plain);
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
  const forwarder = (url: URL) => {
    const proxy = url.protocol === 'http:' ? proxyFor(url) : undefined;
    return proxy?.kind === 'http' ? proxy : undefined;
  };

  return {
    dispatch({ method, url, headers, content = null }, handler) {
      const asked = new URL(url);
      const { origin, host } = asked;
      const proxy = forwarder(asked);
      if (!proxy) {
        origins.dispatch({ origin, method, path: requestTarget(url), headers, body: content }, handler);
        return;
      }
      denyNet?.check(targetOf(asked, []).host);
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
    forwarderOf: (url) => forwarder(new URL(url)),
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
