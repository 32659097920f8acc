type Thread = { readonly currentUsage: number };

/**
 * Gives a task to the thread that has the fewest. As long as there may be more threads, none gets a second task: piscina
 * by itself would fill the first one before it starts the next.
 */
export function spread(workers: number, sessionsPerWorker: number) {
  return <T extends Thread>(_task: unknown, threads: readonly T[]): T | null => {
    let best: T | null = null;
    for (const thread of threads) if (!best || thread.currentUsage < best.currentUsage) best = thread;
    const most = threads.length < workers ? 1 : sessionsPerWorker;
    return best && best.currentUsage < most ? best : null;
  };
}
