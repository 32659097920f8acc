/** Processor seconds by thread. */
export type ThreadSeconds = Readonly<Record<string, number>>;

const lookMs = 50;

/**
 * Watches the threads of this process from now on: `main`, and each worker by its name, numbered in the order of their
 * start. Time shortly before the end of a thread is missing.
 *
 * @returns a function that returns the time of each thread so far.
 */
export function watchThreads(): () => ThreadSeconds {
  const workers: { readonly name: string; seconds: number }[] = [];
  process.on('worker', (worker) => {
    const { threadName } = worker;
    const isNamed = threadName !== null && threadName !== 'WorkerThread'; // Node's default name
    const thread = { name: isNamed ? threadName : 'worker', seconds: 0 };
    workers.push(thread);
    const look = async (): Promise<void> => {
      thread.seconds = secondsOf(await worker.cpuUsage());
    };
    const timer = setInterval(() => void look().catch(() => undefined), lookMs).unref(); // it may have ended
    worker.once('exit', () => clearInterval(timer));
  });
  return () => {
    const seconds: Record<string, number> = { main: secondsOf(process.threadCpuUsage()) };
    const count = new Map<string, number>();
    for (const { name, seconds: taken } of workers) {
      const number = (count.get(name) ?? 0) + 1;
      count.set(name, number);
      seconds[number === 1 ? name : `${name} ${number}`] = taken;
    }
    return seconds;
  };
}

function secondsOf({ user, system }: NodeJS.CpuUsage): number {
  return (user + system) / 1e6;
}
