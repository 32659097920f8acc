import { X509Certificate } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';

import { ImageError } from '../errors.ts';
import type { Agents } from './agents.ts';
import { parseRoutes, type Routes } from './connect.ts';
import type { Clock, Http, HttpOptions, Transport } from './contract.ts';
import { getDocument } from './document.ts';
import { download } from './download.ts';
import type { HttpContext } from './exchange.ts';
import { createHostHealth } from './host-health.ts';
import { createLimiters } from './pump.ts';
import { withRetries } from './retry.ts';
import { ownTransport } from './transport/own.ts';

/**
 * Opens an HTTP client, which opens its connections when they are needed.
 *
 * @throws ImageError USAGE for certificates, proxies and CIDR blocks that cannot be read.
 */
export function openHttp(options: HttpOptions, clock: Clock = systemClock): Http {
  checkCertificates(options.ca ?? []);
  const { transport, close } = lazyTransport(options, parseRoutes(options));
  const context: HttpContext = {
    transport: options.transport ? ownTransport(options.transport, options.timeouts) : transport,
    options,
    clock,
    health: createHostHealth(clock),
    limiterOf: createLimiters(options, clock),
  };
  return {
    getDocument: (request, signal) => getDocument(context, request, signal),
    download: (request, signal) => download(context, request, signal),
    repeat: (repeated, attempt, signal) => withRetries(context, { ...repeated, retries: undefined }, attempt, signal),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function checkCertificates(ca: readonly string[]): void {
  try {
    for (const pem of ca) new X509Certificate(pem);
  } catch (cause) {
    throw new ImageError('USAGE', 'not a certificate in PEM form', { option: 'ca' }, { cause });
  }
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  async sleep(ms, signal) {
    try {
      await wait(ms, undefined, { signal });
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  },
};

type Opened = { readonly agents: Agents; readonly transport: Transport };

/** A transport that loads undici at the first request: loading it takes longer than many commands run. */
function lazyTransport(
  options: HttpOptions,
  routes: Routes,
): { readonly transport: Transport; readonly close: () => Promise<void> } {
  let opening: Promise<Opened> | undefined;
  let isClosed = false;
  return {
    async transport(request, signal) {
      if (isClosed) throw new ImageError('CANCELLED', 'the http client was closed', { reason: 'closed' });
      const { transport } = await (opening ??= open(options, routes));
      return transport(request, signal);
    },
    async close() {
      isClosed = true;
      const opened = await opening?.catch(() => undefined); // who asked for it has been told
      await opened?.agents.close();
    },
  };
}

async function open(options: HttpOptions, routes: Routes): Promise<Opened> {
  const [{ openAgents }, { undiciTransport }] = await Promise.all([
    import('./agents.ts'),
    import('./transport/undici.ts'),
  ]);
  const agents = openAgents(options, routes);
  return { agents, transport: undiciTransport(agents, options.timeouts) };
}
