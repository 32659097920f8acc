import type { ImageError } from '../errors.ts';
import type { ImageQueues } from './image-queues.ts';

/** How much of its work a worker takes, for all of its batches. */
export type Workload = {
  /** Images that workers were lost with, and that this one works on. */
  readonly suspects: Set<string>;
  /** The queues of a batch follow it until that is disposed. */
  follow(queues: Pick<ImageQueues, 'limit' | 'pauseHost'>): Disposable;
  /**
   * This worker cannot work for a reason that no image has: it takes nothing for a while, and then one image at a time. Where that does not
   * help, `onUnfit` is called.
   */
  rest(error: ImageError): void;
  /** An image was brought: this worker can work. */
  succeeded(): void;
  /** A host wants fewer requests: no worker begins an image from it for a time. */
  pauseHost(host: string, forMs: number): void;
};

const defaultRestMs = 30_000;
/** So many rests in a row, with no image in between, and the worker is unfit. */
const mostRests = 3;

export function createWorkload({
  onWarning,
  onUnfit,
  restMs = defaultRestMs,
}: {
  readonly onWarning: (message: string) => void;
  readonly onUnfit: (error: ImageError) => void;
  readonly restMs?: number | undefined;
}): Workload {
  const followers = new Set<Pick<ImageQueues, 'limit' | 'pauseHost'>>();
  let most: Parameters<ImageQueues['limit']>[0] = 'all';
  let rests = 0;

  const limit = (to: typeof most): void => {
    most = to;
    for (const queues of followers) void queues.limit(to);
  };
  return {
    suspects: new Set(),
    follow(queues) {
      followers.add(queues);
      if (most !== 'all') void queues.limit(most);
      return { [Symbol.dispose]: () => void followers.delete(queues) };
    },
    rest(error) {
      if (most === 'none') return;
      limit('none');
      rests += 1;
      if (rests > mostRests) return onUnfit(error);
      onWarning(`this worker takes no images for ${Math.round(restMs / 1000)} s: ${error.message}`);
      setTimeout(() => limit('one'), restMs).unref(); // also while it has no batch: the next one is to find it rested
    },
    succeeded() {
      rests = 0;
      if (most === 'one') limit('all');
    },
    pauseHost(host, forMs) {
      for (const queues of followers) void queues.pauseHost(host, forMs).catch(() => undefined); // its own requests wait in any case
    },
  };
}
