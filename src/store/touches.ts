const delayMs = 1_000;
const most = 1_000;

/** Notes of use, written in groups when there is time. That one is lost never fails the caller. */
export type Touches = { touch(id: string): void; flush(): Promise<void> };

export function createTouches(write: (ids: readonly string[], atMs: number) => Promise<void>): Touches {
  let ids = new Set<string>();
  let timer: NodeJS.Timeout | undefined;

  const flush = async (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    if (ids.size === 0) return;
    const due = [...ids];
    ids = new Set();
    await write(due, Date.now()).catch(() => undefined);
  };

  return {
    flush,
    touch(id) {
      ids.add(id);
      if (ids.size >= most) void flush();
      else timer ??= setTimeout(() => void flush(), delayMs).unref();
    },
  };
}
