/** Collected for so long at most, and so many at most. */
const maxWaitMs = 20;
const maxItems = 250;

export type Group<T> = {
  add(item: T): void;
  /** Runs what has been collected now. */
  flush(): void;
};

/**
 * Collects items and runs them together. The first after a pause runs as soon as what came with it is in; in a stream
 * of items a group runs every 20 ms, so that many share one sync of the disk.
 */
export function createGroup<T>(run: (items: readonly T[]) => void): Group<T> {
  let items: T[] = [];
  let timer: NodeJS.Timeout | undefined;
  let ranAt = -Infinity;

  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (items.length === 0) return;
    const due = items;
    items = [];
    run(due);
    ranAt = performance.now();
  };

  return {
    flush,
    add(item) {
      items.push(item);
      if (items.length >= maxItems) flush();
      else timer ??= setTimeout(flush, Math.max(0, ranAt + maxWaitMs - performance.now()));
    },
  };
}
