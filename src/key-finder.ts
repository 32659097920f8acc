import { openClient } from './compose.ts';
import { discoverKeys } from './discovery/discover.ts';
import { closedError, ImageError } from './errors.ts';
import { parseAcIdentifier } from './image/ac-identifier.ts';
import { defaultLimits, withDefaults } from './image/limits.ts';
import { showUrl } from './image/show.ts';
import type { KeyFinder, NetworkOptions } from './options.ts';

/** Finds and gets keys with the same credentials and discovery as a fetch. */
export function createKeyFinder(options: NetworkOptions): KeyFinder {
  const limits = withDefaults(defaultLimits, options.limits);
  const { discover: origins = [], insecure = {} } = options;
  const allowHttp = insecure.http ?? false;
  const http = openClient(options, limits);
  const keysByHttp = insecure.pubkey ?? false;
  const discovery = { http, allowHttp, keysByHttp, origins, pageBytes: limits.page, endpoints: limits.endpoints };

  /** Without `allowHttp`, only the http origins that discovery is configured with are allowed. */
  const isAllowed = ({ protocol, origin }: URL): boolean =>
    protocol === 'https:' || allowHttp || origins.some((rule) => URL.parse(rule.origin)?.origin === origin);

  const closing = new AbortController();
  /** Ends when the key finder is closed. @throws CLOSED when it is */
  const untilClosed = (signal: AbortSignal): AbortSignal => {
    if (closing.signal.aborted) throw closedError('finder');
    return AbortSignal.any([signal, closing.signal]);
  };
  const close = async (): Promise<void> => {
    const cause = closedError('finder');
    closing.abort(new ImageError('CANCELLED', 'the key finder was closed', { reason: 'closed' }, { cause }));
    await http.close();
  };

  return {
    async findKeys(prefix, signal) {
      const offered = await discoverKeys(discovery, parseAcIdentifier(prefix), untilClosed(signal));
      return [...new Map(offered.map((one) => [one.url, one])).values()];
    },
    async getKey(url, signal) {
      const either = untilClosed(signal);
      const parsed = URL.parse(url);
      if (parsed && !isAllowed(parsed)) {
        const what = `keys are not accepted over http: ${showUrl(url)}`;
        throw new ImageError('INSECURE_REFUSED', what, { what: 'a key over http' });
      }
      const limit = { name: 'key', bytes: limits.key };
      const { body } = await http.getDocument({ url, limit, statuses: [200] }, either);
      return body;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
