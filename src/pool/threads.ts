import { getCompileCacheDir } from 'node:module';
import { dirname, extname } from 'node:path';
import type { Transferable, Worker } from 'node:worker_threads';

import type { MemoryMessage } from '../../workers/memory.ts';
import type { Loads, ReadyMessage, TaskName } from '../../workers/tasks.ts';
import { closedError, ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import { whyFailed } from '../system/errno.ts';
import { createMemoryBudget } from './memory-budget.ts';

const debug = debugLog('pool');

export type ThreadOptions = {
  /** Threads, at least 1. They start as tasks need them. */
  readonly workers: number;
  /** Tasks that one thread may have under way: sessions that follow a download mostly wait. */
  readonly sessionsPerWorker: number;
  /** How many threads start at once when the first is needed, at most `workers`; default 1. */
  readonly least?: number | undefined;
  readonly loads?: Loads | undefined;
  /** What the threads run, as a URL; default our own. */
  readonly filename?: string | undefined;
};

/**
 * Threads of piscina. By itself, piscina starts no thread in place of one that ended before it was ready, so that tasks wait for
 * ever, or one after the other for ever.
 */
export type Threads = {
  /** @throws INTERNAL if no thread becomes ready; any error when the thread of the task died */
  run(task: object, name: TaskName, transfer: readonly Transferable[], isShort: boolean): Promise<unknown>;
  /** @returns undefined when it has ended. */
  find(threadId: number): Worker | undefined;
  /** Ends all threads; what is under way rejects. */
  close(): Promise<void>;
};

/** So many threads in a row may end before they are ready: then nothing waits for another one. */
const startsAtMost = 3;

function notStarted(cause: unknown): ImageError<'INTERNAL'> {
  const why = show(whyFailed(cause));
  const message = `${startsAtMost} threads in a row ended before they were ready: ${why}`;
  return new ImageError('INTERNAL', message, { what: 'worker' }, { cause });
}

/** @param onFailure - called when no thread becomes ready, before all tasks reject: these threads are of no use any more. */
export async function openThreads(options: ThreadOptions, onFailure: () => void): Promise<Threads> {
  const { piscina, queueOptionsSymbol } = await openPiscina(options);
  const memory = createMemoryBudget();
  const ready = new Set<Worker>();
  /** Threads that ended and were not looked at yet. */
  let ended = 0;
  let failedStarts = 0;
  let waiting = 0;
  let isClosed = false;
  let failure: ImageError | undefined;
  let cause: unknown;

  const find = (threadId: number): Worker | undefined => piscina.threads.find((thread) => thread.threadId === threadId);

  const close = async (): Promise<void> => {
    isClosed = true;
    await piscina.destroy();
  };

  const run: Threads['run'] = async (task, name, transfer, isShort) => {
    waiting += 1;
    try {
      if (isClosed) throw failure ?? closedError('pool');
      const about: TaskAbout = { isShort };
      const reply: unknown = await piscina.run(
        { ...task, [queueOptionsSymbol]: about },
        { name, transferList: [...transfer] as never },
      ); // piscina has a type of its own
      return reply;
    } catch (error) {
      if (!isClosed) cause = error;
      throw failure ?? error;
    } finally {
      waiting -= 1;
    }
  };

  const review = (): void => {
    const threads = new Set(piscina.threads);
    for (const thread of ready) {
      if (threads.has(thread)) continue;
      ready.delete(thread);
      ended -= 1;
    }
    failedStarts += Math.max(0, ended);
    ended = 0;
    if (isClosed || ready.size > 0 || waiting === 0) return;
    if (failedStarts < startsAtMost) {
      debug(() => 'a thread ended, and tasks wait: another one is started');
      run({ request: {}, askedMs: Date.now() }, 'start', [], true).catch(() => undefined); // starts a thread
    } else {
      failure = notStarted(cause);
      onFailure();
      void close();
    }
  };

  piscina.on('message', (message: MemoryMessage | ReadyMessage) => {
    if (message.kind === 'memory') return memory.serve(message.port);
    const thread = find(message.threadId);
    if (thread) ready.add(thread);
    failedStarts = 0;
  });
  piscina.on('workerDestroy', () => {
    ended += 1;
    setImmediate(review); // piscina still has it
  });
  // emitted when an idle thread dies; without a listener it would end the process
  piscina.on('error', (error) => void (cause = error));
  return { run, find, close };
}

/**
 * A small young generation: the data of a worker is in large buffers outside of the heap. Measured with 1 000 small images: 100 MiB
 * less memory, and no slower.
 */
const resourceLimits = { maxYoungGenerationSizeMb: 12 };

/** tsc does not rewrite URLs: the extension is .ts in the sources and .js in the build. */
const ownFile = new URL(`../../workers/index${extname(import.meta.url)}`, import.meta.url).href;

async function openPiscina(options: ThreadOptions) {
  const { workers, sessionsPerWorker, least = 1, loads, filename = ownFile } = options;
  const { Piscina, queueOptionsSymbol } = await import('piscina');
  const cache = getCompileCacheDir(); // ends with a directory for this version of Node
  const piscina = new Piscina({
    filename,
    name: 'ready',
    minThreads: Math.min(least, workers),
    maxThreads: workers,
    concurrentTasksPerWorker: sessionsPerWorker,
    loadBalancer: balanceLoad(workers, sessionsPerWorker, queueOptionsSymbol),
    idleTimeout: Infinity,
    resourceLimits,
    // each thread has to enable the compile cache itself, in the same directory
    workerData: { compileCache: cache && dirname(cache), loads },
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  return { piscina, queueOptionsSymbol };
}

type Thread = { readonly currentUsage: number };
/** What the balancer is told of a task, by piscina's `queueOptionsSymbol`. */
type TaskAbout = { readonly isShort: boolean };

/** So many short tasks wait for a thread before another one is started, which takes longer than they do. */
const shortTasks = 8;

/**
 * Gives a task to the thread with the fewest tasks. No thread gets a second long task before the maximum of threads runs: piscina's own
 * load balancer would fill the first thread before it starts the next.
 */
function balanceLoad(workers: number, sessionsPerWorker: number, aboutTask: symbol) {
  return <T extends Thread>(task: object, threads: readonly T[]): T | null => {
    let best: T | null = null;
    for (const thread of threads) if (!best || thread.currentUsage < best.currentUsage) best = thread;
    const { isShort } = (task as Readonly<Record<symbol, TaskAbout>>)[aboutTask] ?? { isShort: false }; // from `run`
    const maxTasks = threads.length === workers ? sessionsPerWorker : isShort ? shortTasks : 1;
    return best && best.currentUsage < maxTasks ? best : null;
  };
}
