import { X509Certificate } from 'node:crypto';

import { ImageError } from '../errors.ts';
import { systemClock, type Clock } from './clock.ts';
import type { HttpContext } from './context.ts';
import { parseDenyNet } from './deny-net.ts';
import { getDocument } from './document.ts';
import { download } from './download.ts';
import { createHostHealth } from './host-health.ts';
import { lazyTransport } from './lazy-transport.ts';
import { parseProxies } from './proxy.ts';
import { rateLimiter } from './rate-limit.ts';
import type { Http, HttpOptions } from './types.ts';

/**
 * Opens what fetches over HTTP; connections are made and kept as they are needed.
 *
 * @throws ImageError USAGE for certificates, proxies and CIDR blocks that cannot be read.
 */
export function openHttp(options: HttpOptions, clock: Clock = systemClock): Http {
  checkCertificates(options.ca ?? []);
  const routes = { denyNet: parseDenyNet(options.denyNet), proxyFor: parseProxies(options.proxy) };
  const { transport, close } = lazyTransport(options, routes);
  const context: HttpContext = {
    transport: options.transport ?? transport,
    options,
    clock,
    health: createHostHealth(clock),
    limiter: options.limitRate === undefined ? undefined : rateLimiter(options.limitRate, clock),
  };
  return {
    getDocument: (request, signal) => getDocument(context, request, signal),
    download: (request, signal) => download(context, request, signal),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function checkCertificates(ca: readonly string[]): void {
  try {
    for (const pem of ca) new X509Certificate(pem);
  } catch (cause) {
    throw new ImageError('USAGE', 'not a certificate in PEM form', { option: 'ca-file' }, { cause });
  }
}
