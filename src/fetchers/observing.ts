import type { HttpObserver } from '../http/types.ts';
import { showUrl } from '../image/show-url.ts';
import type { FetchContext } from './context.ts';

/** Counts requests and retries, and tells of the latter. */
export function observing({ tally, onEvent }: FetchContext, key: string): HttpObserver {
  return {
    onRequest: () => {
      tally.requests += 1;
    },
    onRetry: ({ url, ...retry }) => {
      tally.retries += 1;
      onEvent({ type: 'retry', key, url: showUrl(url), ...retry });
    },
  };
}
