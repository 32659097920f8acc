import { extname } from 'node:path';
import type { Transferable } from 'node:worker_threads';

import type { Piscina } from 'piscina';

import { fromErrorData } from '../errors.ts';
import type { Reply } from '../../workers/reply.ts';
import type { TaskName, Tasks } from '../../workers/tasks.ts';

export type PoolOptions = {
  /** Threads, at least 1. They start with the first task. */
  readonly workers: number;
  /** Tasks that one thread may have under way: sessions that follow a download mostly wait. */
  readonly sessionsPerWorker: number;
};

/** The threads that hash, inflate, check and verify. */
export type Pool = AsyncDisposable & {
  /**
   * @param transfer - what moves to the worker instead of being copied.
   * @throws the ImageError of the task; any other error means that the worker died or has a bug.
   */
  run<N extends TaskName>(
    name: N,
    request: Tasks[N]['request'],
    transfer?: readonly Transferable[],
  ): Promise<Tasks[N]['response']>;
  /** Ends a thread that does not answer; its other tasks reject and a fresh thread takes its place. */
  recycle(threadId: number): Promise<void>;
  close(): Promise<void>;
};

export function openPool({ workers, sessionsPerWorker }: PoolOptions): Pool {
  let opening: Promise<Piscina> | undefined;
  const piscina = (): Promise<Piscina> => (opening ??= start(workers, sessionsPerWorker));

  const close = async (): Promise<void> => {
    await (await opening)?.destroy();
  };

  return {
    async run<N extends TaskName>(name: N, request: Tasks[N]['request'], transfer: readonly Transferable[] = []) {
      const pool = await piscina();
      // piscina types neither task nor answer: the worker of this name gives exactly this reply.
      const reply = (await pool.run(request, { name, transferList: [...transfer] as never })) as Reply<N>;
      if (reply.ok) return reply.value;
      throw fromErrorData(reply.error);
    },
    async recycle(threadId) {
      const thread = (await opening)?.threads.find((worker) => worker.threadId === threadId);
      await thread?.terminate();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function start(workers: number, sessionsPerWorker: number): Promise<Piscina> {
  const { Piscina } = await import('piscina');
  // tsc rewrites imports but not URLs: the worker is a .ts beside our sources and a .js beside what is built.
  const filename = new URL(`../../workers/index${extname(import.meta.url)}`, import.meta.url).href;
  return new Piscina({
    filename,
    minThreads: 1,
    maxThreads: workers,
    concurrentTasksPerWorker: sessionsPerWorker,
    idleTimeout: Infinity,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
}
