import type { HttpObserver } from '../http/types.ts';
import { showUrl } from '../image/show-url.ts';
import type { OnSilence } from '../store/store.ts';
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

/** Says what becomes of the wait for another process that may be stopped. */
export function tellingSilence({ onEvent }: FetchContext, key: string): OnSilence {
  return (what) => {
    const meanwhile =
      what === 'still waiting' ? 'it is waited for a minute at most' : 'this one fetches it as well, for itself';
    const message = `the process that fetches it gives no sign of life, as one that is stopped: ${meanwhile}`;
    onEvent({ type: 'warning', key, message });
  };
}
