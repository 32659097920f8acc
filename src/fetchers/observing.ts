import type { HttpObserver } from '../http/types.ts';
import { showUrl } from '../image/show-url.ts';
import type { FetchContext } from './context.ts';

/** Counts requests and retries, and tells of the latter; the slot is told how they get on. */
export function observing({ tally, onEvent, slot }: FetchContext, key: string): HttpObserver {
  return {
    ...(slot && { pacing: slot }),
    onRequest: () => {
      tally.requests += 1;
    },
    onRetry: ({ url, ...retry }) => {
      tally.retries += 1;
      onEvent({ type: 'retry', key, url: showUrl(url), ...retry });
    },
  };
}
