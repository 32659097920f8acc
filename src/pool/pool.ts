import { rm } from 'node:fs/promises';
import { getCompileCacheDir } from 'node:module';
import { dirname, extname } from 'node:path';
import { getHeapStatistics } from 'node:v8';
import type { Transferable } from 'node:worker_threads';

import type { Piscina } from 'piscina';

import type { IngestLimits } from '../../workers/ingest/requests.ts';
import type { MemoryMessage } from '../../workers/memory.ts';
import type { Reply, Task, TaskName, Tasks } from '../../workers/tasks.ts';
import { fromErrorData, ImageError, isImageError } from '../errors.ts';
import type { Limits } from '../image/limits.ts';
import { show, showUrl } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import { whenFilesAreFree } from '../system/spare-files.ts';
import { createMemoryBudget } from './memory-budget.ts';

const debug = debugLog('pool');

type PoolOptions = {
  /** The most threads, at least 1. They start when tasks need them. */
  readonly workers: number;
  /** The most tasks of one thread at a time. It may be more than 1, since sessions that follow a download mostly wait. */
  readonly sessionsPerWorker: number;
};

/** The threads that hash, inflate, check and verify. */
export type Pool = AsyncDisposable & {
  /**
   * Runs a task. If its thread dies, the task is repeated once in another thread, since another task of that thread may have been the
   * cause. A task with `transfer` is not repeated: the transferred objects died with the thread.
   *
   * @param transfer - objects that are moved to the thread instead of being copied.
   * @throws the ImageError of the task. If the thread died twice, LIMIT_EXCEEDED if it ran out of memory, else INTERNAL. With
   * `transfer`, any error of a thread that died.
   */
  run<N extends TaskName>(
    name: N,
    request: Tasks[N]['request'],
    transfer?: readonly Transferable[],
  ): Promise<Tasks[N]['response']>;
  /** Starts the first thread, which loads the modules of an ingest, before any download begins. */
  warmUp(verifies: boolean): void;
  /** Called when a download begins. As long as fewer threads than downloads are prepared, a thread loads the modules of an ingest. */
  prepare(verifies: boolean): void;
  /** Ends a thread that does not answer. Its other tasks reject, and a new thread replaces it. */
  recycle(threadId: number): Promise<void>;
  /** Ends all threads; tasks under way reject with CANCELLED. */
  close(): Promise<void>;
};

/**
 * A small young generation: the data of a worker is in large buffers outside of the heap. Measured with 1 000 small images: 100 MiB
 * less memory, and no slower.
 */
const resourceLimits = { maxYoungGenerationSizeMb: 12 };

export function openPool({ workers, sessionsPerWorker }: PoolOptions): Pool {
  let opening: Promise<Piscina> | undefined;
  let isClosed = false;
  let prepared = 0;
  let downloads = 0;

  const attempt = async <N extends TaskName>(
    name: N,
    request: Tasks[N]['request'],
    transfer: readonly Transferable[],
  ): Promise<Tasks[N]['response']> => {
    const askedMs = Date.now();
    debug(() => `${name}: asked for${aboutOf(request)}`);
    try {
      if (isClosed) throw new Error('the pool is closed');
      const pool = await (opening ??= openPiscina(workers, sessionsPerWorker));
      // piscina types neither task nor answer; the handler with this name returns this reply
      const task: Task<N> = { request, askedMs };
      const reply = (await pool.run(task, { name, transferList: [...transfer] as never })) as Reply<N>;
      debug(
        () =>
          `${name}: ${reply.ok ? 'done' : reply.error.code}, ${Date.now() - askedMs} ms with the wait for a thread${aboutOf(request)}`,
      );
      if (reply.ok) return reply.value;
      throw fromErrorData(reply.error);
    } catch (error) {
      if (!isClosed || isImageError(error)) throw error;
      throw new ImageError('CANCELLED', 'the threads were closed', { reason: 'closed' }, { cause: error });
    }
  };

  const start = (threads: number, verifies: boolean): void => {
    while (prepared < Math.min(threads, workers)) {
      prepared += 1;
      attempt('prepare', { verifies }, []).catch(() => undefined); // the ingest will report the error
    }
  };

  const close = async (): Promise<void> => {
    isClosed = true;
    await (await opening)?.destroy();
  };

  return {
    async run(name, request, transfer = []) {
      try {
        return await attempt(name, request, transfer);
      } catch (error) {
        if (isImageError(error) || transfer.length > 0) throw error;
        debug(() => `${name}: its thread failed${aboutOf(request)}: ${show(String(error))}`);
        if ('image' in request) await rm(request.image, { force: true }); // the unfinished output of the dead thread
        // a thread that did not start, or load its modules, for lack of file descriptors did not die of its task
        const repeat = () => attempt(name, request, transfer);
        return whenFilesAreFree(repeat).catch((again: unknown) => workerFailed(again, shownOf(request)));
      }
    },
    warmUp: (verifies) => start(1, verifies),
    prepare(verifies) {
      downloads += 1;
      start(downloads, verifies);
    },
    async recycle(threadId) {
      const thread = (await opening)?.threads.find((worker) => worker.threadId === threadId);
      await thread?.terminate();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function openPiscina(workers: number, sessionsPerWorker: number): Promise<Piscina> {
  const { Piscina } = await import('piscina');
  const cache = getCompileCacheDir(); // ends with a directory for this version of Node
  // tsc does not rewrite URLs: the extension is .ts in the sources and .js in the build
  const filename = new URL(`../../workers/index${extname(import.meta.url)}`, import.meta.url).href;
  const pool = new Piscina({
    filename,
    minThreads: 1,
    maxThreads: workers,
    concurrentTasksPerWorker: sessionsPerWorker,
    loadBalancer: balanceLoad(workers, sessionsPerWorker),
    idleTimeout: Infinity,
    resourceLimits,
    // each thread has to enable the compile cache itself, in the same directory
    workerData: { compileCache: cache && dirname(cache) },
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  const memory = createMemoryBudget();
  pool.on('message', (message: MemoryMessage) => memory.serve(message.port));
  // emitted when an idle thread dies; without a listener it would end the process
  pool.on('error', () => undefined);
  return pool;
}

type Thread = { readonly currentUsage: number };

/**
 * Gives a task to the thread with the fewest tasks. No thread gets a second task before the maximum of threads runs: piscina's own
 * load balancer would fill the first thread before it starts the next.
 */
function balanceLoad(workers: number, sessionsPerWorker: number) {
  return <T extends Thread>(_task: unknown, threads: readonly T[]): T | null => {
    let best: T | null = null;
    for (const thread of threads) if (!best || thread.currentUsage < best.currentUsage) best = thread;
    const maxTasks = threads.length < workers ? 1 : sessionsPerWorker;
    return best && best.currentUsage < maxTasks ? best : null;
  };
}

/**
 * Throws the error of a task that has failed twice. Lack of memory is LIMIT_EXCEEDED, since the input of the task needed too much;
 * any other error that is not an ImageError is INTERNAL.
 *
 * @param shown - the name of the input, for messages.
 */
export function workerFailed(error: unknown, shown: string | undefined): never {
  if (isImageError(error)) throw error;
  if (error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY') {
    const maximum = getHeapStatistics().heap_size_limit; // threads have the limit of the main thread
    const about = shown === undefined ? '' : ` over ${show(shown, 1000)}`;
    const message = `a thread ran out of memory${about}; the limit of its heap is ${Math.round(maximum / 2 ** 20)} MiB`;
    throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'heap', maximum }, { cause: error });
  }
  const what = show(error instanceof Error ? error.message : String(error));
  throw new ImageError(
    'INTERNAL',
    `a thread failed twice while it worked on it: ${what}`,
    { what: 'worker' },
    { cause: error },
  );
}

/** The name of a task's input, from its request. */
function shownOf(request: object): string | undefined {
  const { shown, location, digest } = request as Partial<Record<'shown' | 'location' | 'digest', unknown>>; // a request has at most one of them
  const name = shown ?? location ?? digest;
  return typeof name === 'string' ? name : undefined;
}

function aboutOf(request: object): string {
  const shown = shownOf(request);
  return shown === undefined ? '' : ` (${show(showUrl(shown))})`;
}

/** The limits of an ingest, with the names that workers use. */
export function ingestLimits(limits: Limits): IngestLimits {
  return {
    archiveBytes: limits.archive,
    unpackedBytes: limits.unpacked,
    manifestBytes: limits.manifest,
    headerBytes: limits.header,
    entries: limits.entries,
    pathBytes: limits.path,
    dependencies: limits.dependencies,
    signatures: limits.signatures,
  };
}
