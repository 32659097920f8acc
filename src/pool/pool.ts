import { rm } from 'node:fs/promises';
import { getCompileCacheDir } from 'node:module';
import { dirname, extname } from 'node:path';
import type { Transferable } from 'node:worker_threads';
import { getHeapStatistics } from 'node:v8';

import type { Piscina } from 'piscina';

import { fromErrorData, ImageError, isImageError } from '../errors.ts';
import type { MemoryMessage } from '../../workers/memory.ts';
import type { Reply, Task, TaskName, Tasks, IngestLimits } from '../../workers/tasks.ts';
import { whenFilesAreFree } from '../system/spare-files.ts';
import { createMemoryBudget } from './memory-budget.ts';
import { show, showUrl } from '../image/show.ts';
import type { Limits } from '../image/limits.ts';
import { debugLog } from '../system/debug.ts';

const debug = debugLog('pool');

type PoolOptions = {
  /** Threads, at least 1. They start as tasks need them. */
  readonly workers: number;
  /** Tasks that one thread may have under way: sessions that follow a download mostly wait. */
  readonly sessionsPerWorker: number;
};

/** The threads that hash, inflate, check and verify. */
export type Pool = AsyncDisposable & {
  /**
   * A task whose worker dies is given to another one, once, since it may be the victim of a neighbour; but not when
   * something has moved to the worker, which died with it.
   *
   * @param transfer - what moves to the worker instead of being copied.
   * @throws the ImageError of the task; INTERNAL when workers died of it, LIMIT_EXCEEDED when for want of memory; with `transfer` any error when one died.
   */
  run<N extends TaskName>(
    name: N,
    request: Tasks[N]['request'],
    transfer?: readonly Transferable[],
  ): Promise<Tasks[N]['response']>;
  /** The first thread is started and loads what an ingest will need, before any download begins. */
  warmUp(verifies: boolean): void;
  /** A download begins: as long as there are fewer threads than downloads, one that is idle, or a new one, loads what an ingest needs. */
  prepare(verifies: boolean): void;
  /** Ends a thread that does not answer; its other tasks reject and a fresh thread takes its place. */
  recycle(threadId: number): Promise<void>;
  /** Ends all threads; tasks under way reject with CANCELLED. */
  close(): Promise<void>;
};

/**
 * The nursery of a thread's heap: what passes through a worker is large and lives outside of it, so more would only be
 * memory. Measured with 1 000 small images: 100 MiB less, and no slower.
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
      // piscina types neither task nor answer: the worker of this name gives exactly this reply.
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
      attempt('prepare', { verifies }, []).catch(() => undefined); // the ingest itself will tell
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
        if ('image' in request) await rm(request.image, { force: true }); // what the dead worker had begun
        // A thread that could not be started, or load what it needs, for want of descriptors is no victim of its task.
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
  const cache = getCompileCacheDir(); // with a directory for this version of Node at its end
  // tsc rewrites imports but not URLs: the worker is a .ts beside our sources and a .js beside what is built.
  const filename = new URL(`../../workers/index${extname(import.meta.url)}`, import.meta.url).href;
  const pool = new Piscina({
    filename,
    minThreads: 1,
    maxThreads: workers,
    concurrentTasksPerWorker: sessionsPerWorker,
    loadBalancer: spread(workers, sessionsPerWorker),
    idleTimeout: Infinity,
    resourceLimits,
    // a thread has a cache of its own, in the same place
    workerData: { compileCache: cache && dirname(cache) },
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  const memory = createMemoryBudget();
  pool.on('message', (message: MemoryMessage) => memory.serve(message.port));
  // An idle thread that dies has no task to tell; unheard, the event would end the process.
  pool.on('error', () => undefined);
  return pool;
}

type Thread = { readonly currentUsage: number };

/**
 * Gives a task to the thread that has the fewest. As long as there may be more threads, none gets a second task: piscina
 * by itself would fill the first one before it starts the next.
 */
function spread(workers: number, sessionsPerWorker: number) {
  return <T extends Thread>(_task: unknown, threads: readonly T[]): T | null => {
    let best: T | null = null;
    for (const thread of threads) if (!best || thread.currentUsage < best.currentUsage) best = thread;
    const most = threads.length < workers ? 1 : sessionsPerWorker;
    return best && best.currentUsage < most ? best : null;
  };
}

/**
 * Rethrows what a task failed with a second time. A thread that had no memory left is LIMIT_EXCEEDED, since what it was given
 * took it all; anything else but an ImageError is INTERNAL.
 *
 * @param shown - what it was about, for people.
 */
export function workerFailed(error: unknown, shown: string | undefined): never {
  if (isImageError(error)) throw error;
  if (error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY') {
    const maximum = getHeapStatistics().heap_size_limit; // a thread has the same unless it is told otherwise
    const about = shown === undefined ? '' : ` over ${show(shown, 1000)}`;
    const message = `a thread ran out of memory${about}; the limit of its heap is ${Math.round(maximum / 2 ** 20)} MiB`;
    throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'heap', maximum }, { cause: error });
  }
  const what = show(error instanceof Error ? error.message : String(error));
  throw new ImageError('INTERNAL', `a worker failed twice over it: ${what}`, { what: 'worker' }, { cause: error });
}

/** What a task is about, in the words of its request. */
function shownOf(request: object): string | undefined {
  const { shown, location, digest } = request as Partial<Record<'shown' | 'location' | 'digest', unknown>>; // any of them
  const name = shown ?? location ?? digest;
  return typeof name === 'string' ? name : undefined;
}

function aboutOf(request: object): string {
  const shown = shownOf(request);
  return shown === undefined ? '' : ` (${show(showUrl(shown))})`;
}

/** The limits that concern a worker, by the names it has for them. */
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
