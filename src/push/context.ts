import { hasCode, ImageError } from '../errors.ts';
import type { EventSink } from '../events.ts';
import type { HttpObserver, Pacing, Traffic } from '../http/contract.ts';
import { showUrl } from '../image/show.ts';
import type { RegistryClient } from '../registry/client.ts';
import type { Store } from '../store/store.ts';

/** What all images of one push share. */
export type PushContext = {
  readonly store: Store;
  readonly client: RegistryClient;
  /** Runs transfers within the limits of the host and the batch. */
  readonly slots: PushSlots;
  /** Hashes a file by sha256, in a thread. */
  readonly hashFile: (path: string, size: number) => Promise<{ readonly hex: string; readonly bytes: number }>;
  /** The longest Retry-After that is waited for. */
  readonly retryAfterMs: number;
  /** The most images and transfers at a time, and the most transfers to the target. */
  readonly concurrency: { readonly jobs: number; readonly jobsPerHost: number };
  readonly onEvent: EventSink;
  /** Counts of all requests and retries. */
  readonly tally: { requests: number; retries: number };
  /** Counts by host. */
  readonly traffic: Traffic;
  readonly nowMs: () => number;
};

type Run = <T>(host: string, signal: AbortSignal, work: (slot: Pacing) => Promise<T>) => Promise<T>;

type PushSlots = {
  readonly run: Run;
  /** As run, for the first request of an image: requests of images that have begun come before it. */
  readonly runFirst: Run;
};

/** After so many refusals in a row, a request that fails by them is the last one. */
const refusalsInARow = 3;

/**
 * Slots of a push that ends when its registry asks to be left alone for longer than is waited for, or refuses everything for longer.
 *
 * @param longestMs - the longest Retry-After that is waited for.
 * @param giveUp - called before anything else can be sent.
 */
export function slotsUntilRefused(
  slots: PushSlots,
  { longestMs, giveUp }: { readonly longestMs: number; readonly giveUp: (error: ImageError) => void },
): PushSlots {
  let refusals = 0;
  const noting = (slot: Pacing): Pacing => ({
    ...slot,
    onAnswer(status) {
      if (status !== undefined) refusals = status === 429 || status === 503 ? refusals + 1 : 0;
      slot.onAnswer(status);
    },
  });
  const watched =
    (run: Run): Run =>
    (host, signal, work) =>
      run(host, signal, async (slot) => {
        try {
          return await work(noting(slot));
        } catch (error) {
          if (!hasCode(error, 'RATE_LIMITED')) throw error;
          const isTooLong = (error.details.retryAfterMs ?? 0) > longestMs;
          if (isTooLong || refusals >= refusalsInARow) giveUp(error);
          throw error;
        }
      });
  return { run: watched(slots.run), runFirst: watched(slots.runFirst) };
}

/** A repository that is pushed to. */
export type PushRepository = { readonly host: string; readonly repository: string };

/** One request or transfer: its repository, and who is told of it. */
export type PushStep = { readonly place: PushRepository; readonly observer: HttpObserver };

/** Counts requests and retries, reports retries as events, and passes the progress to the slot. @param key - that of the image. */
export function createObserver({ tally, traffic, onEvent }: PushContext, key: string, pacing: Pacing): HttpObserver {
  return {
    pacing,
    traffic,
    onRequest: () => void (tally.requests += 1),
    onRetry: ({ url, ...retry }) => {
      tally.retries += 1;
      traffic.retried(URL.parse(url)?.host ?? '');
      onEvent({ type: 'retry', key, url: showUrl(url), ...retry });
    },
  };
}

/** The error for a blob of the store that is not what its digest says. */
export function damagedBlob(
  { store }: Pick<PushContext, 'store'>,
  digest: Parameters<Store['digestPath']>[0],
  problem: 'missing' | 'wrong size' | 'wrong hash' | 'unreadable' | 'no manifest',
): ImageError<'STORE_CORRUPT'> {
  const message = `the blob ${digest} is damaged: ${problem}`;
  return new ImageError('STORE_CORRUPT', message, { path: store.digestPath(digest) });
}
