import type { FetchContext } from './context.ts';
import type { Pull } from './registry-pull.ts';

/** Tells of the transfers of one image as of one. */
export type TransferProgress = {
  /** Bytes that have come over the network. */
  readonly bytes: number;
  /** One more blob is brought, so many bytes of which are there already. @returns to be told of its bytes as they come */
  start(size: number, resumedFrom: number): (bytes: number) => void;
  end(): void;
};

export function transferProgress(
  { onEvent }: Pick<FetchContext, 'onEvent'>,
  { wanted: { key }, resolved: { endpoint: url } }: Pick<Pull, 'wanted' | 'resolved'>,
): TransferProgress {
  let total = 0;
  let there = 0;
  let bytes = 0;
  let isStarted = false;
  return {
    get bytes() {
      return bytes;
    },
    start(size, resumedFrom) {
      total += size;
      there += resumedFrom;
      if (!isStarted) onEvent({ type: 'download-started', key, url, total, resumedFrom });
      isStarted = true;
      let last = resumedFrom;
      return (now) => {
        there += now - last;
        bytes += Math.max(0, now - last); // a restart takes some back
        last = now;
        onEvent({ type: 'download-progress', key, bytes: there, total });
      };
    },
    end() {
      if (isStarted) onEvent({ type: 'download-finished', key, url, bytes: there });
    },
  };
}
