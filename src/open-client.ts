import type { NetworkOptions } from './action-options.ts';
import { parseConnectTo } from './http/connect-to.ts';
import { openHttp } from './http/open-http.ts';
import type { Http } from './http/types.ts';
import { defaultTimeouts, type Limits } from './image/limits.ts';
import { tlsFor } from './tls-for.ts';

const defaultRetries = 4;
const userAgent = 'longshore/0.1';

/** The one client of a finder. @throws USAGE */
export function openClient(options: NetworkOptions, limits: Limits): Http {
  const { headers = {}, insecure = {}, proxy = {} } = options;
  const timeouts = { ...defaultTimeouts, ...options.timeouts };
  return openHttp({
    timeouts: { connectMs: timeouts.connect, headersMs: timeouts.headers, stallMs: timeouts.stall },
    limits: { archiveBytes: limits.archive, redirects: limits.redirects, retryAfterMs: limits.retryAfter },
    retries: options.retries ?? defaultRetries,
    insecureTls: insecure.tls ?? false,
    connectTo: (options.connectTo ?? []).map(parseConnectTo),
    denyNet: options.denyNet ?? [],
    proxy,
    credentials: ({ host }) => headers[host],
    userAgent,
    tlsFor: tlsFor(options),
    ...(options.ca && { ca: options.ca }),
    ...(options.limitRate !== undefined && { limitRate: options.limitRate }),
    ...(options.minRate !== undefined && { minRate: options.minRate }),
    ...(options.transport && { transport: options.transport }),
  });
}
