/** While rows change the file is written once a second, and less often where that takes long. */
const gapMs = 1_000;
const restFactor = 10;

/** Sees to it that index.json follows the index. */
export type Projector = {
  /** Something has changed: it is written soon. */
  mark(): void;
  /** Writes now what is marked. @throws what `write` throws; it stays marked. */
  flush(): void;
  /** As flush, for callers whose work is done whether it can be written or not: the next mark or opening tries again. */
  tryFlush(): void;
};

export function createProjector(write: () => void): Projector {
  let marked = false;
  let timer: NodeJS.Timeout | undefined;
  let notBefore = -Infinity;

  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (!marked) return;
    const startedAt = performance.now();
    try {
      write();
      marked = false;
    } finally {
      const endedAt = performance.now();
      notBefore = endedAt + Math.max(gapMs, restFactor * (endedAt - startedAt));
    }
  };
  const tryFlush = (): void => {
    try {
      flush();
    } catch {
      // Said by the flush that somebody asks for.
    }
  };

  return {
    flush,
    tryFlush,
    mark() {
      marked = true;
      timer ??= setTimeout(tryFlush, Math.max(0, notBefore - performance.now()));
    },
  };
}
