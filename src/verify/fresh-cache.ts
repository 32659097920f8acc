const entriesMaximum = 4_096;

/** Reads each key once in a while, however often and by however many it is asked for. Failures are not kept. */
export type FreshCache<T> = {
  readonly get: (key: string) => Promise<T>;
  readonly clear: () => void;
};

export function createFreshCache<T>(
  freshMs: number,
  read: (key: string) => Promise<T>,
  now: () => number = () => performance.now(),
): FreshCache<T> {
  const entries = new Map<string, { readonly value: Promise<T>; readonly readAtMs: number }>();
  return {
    get(key) {
      const nowMs = now();
      const known = entries.get(key);
      if (known && nowMs - known.readAtMs < freshMs) return known.value;
      if (entries.size >= entriesMaximum) entries.clear();
      const entry = { value: read(key), readAtMs: nowMs };
      entries.set(key, entry);
      entry.value.catch(() => {
        if (entries.get(key) === entry) entries.delete(key);
      });
      return entry.value;
    },
    clear: () => {
      entries.clear();
    },
  };
}
