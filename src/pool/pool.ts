import { rm } from 'node:fs/promises';
import type { Transferable } from 'node:worker_threads';

import type { IngestLimits, IngestRequest } from '../../workers/ingest/requests.ts';
import type { Reply, Task, TaskName, Tasks } from '../../workers/tasks.ts';
import { closedError, fromErrorData, hasCode, ImageError, isImageError } from '../errors.ts';
import type { Limits } from '../image/limits.ts';
import { show, showUrl } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import { isOutOfFiles, whenFilesAreFree } from '../system/spare-files.ts';
import { openThreads, type ThreadOptions, type Threads } from './threads.ts';

const debug = debugLog('pool');

/** The threads that hash, inflate, check and verify. Everything is CLOSED once the pool is closed. */
export type Pool = AsyncDisposable & {
  /** Aborted when the pool is closed, with CLOSED as the reason. */
  readonly closed: AbortSignal;
  /**
   * Runs a task. If its thread dies, the task is repeated once in another thread, since another task of that thread may have been the
   * cause. A task with `transfer` is not repeated: the transferred objects died with the thread.
   *
   * @param transfer - objects that are moved to the thread instead of being copied.
   * @throws the ImageError of the task. If the thread died twice, or three threads in a row before they were ready, LIMIT_EXCEEDED if
   * they ran out of memory, else INTERNAL. With `transfer`, any error of a thread that died.
   */
  run<N extends TaskName>(
    name: N,
    request: Tasks[N]['request'],
    transfer?: readonly Transferable[],
  ): Promise<Tasks[N]['response']>;
  /** Starts the first threads, before there is a task for them. */
  warmUp(): void;
  /** Ends a thread that does not answer. Its other tasks reject, and a new thread replaces it. */
  recycle(threadId: number): Promise<void>;
  /** Ends all threads; tasks under way reject with CLOSED. */
  close(): Promise<void>;
};

export function openPool(options: ThreadOptions): Pool {
  const closing = new AbortController();
  const { signal: closed } = closing;
  let opening: Promise<Threads> | undefined;

  const requireOpen = (): void => {
    if (closed.aborted) throw closedError('pool');
  };

  /** The same threads until none becomes ready; then the next task starts others. */
  const openOnce = (): Promise<Threads> => {
    if (opening) return opening;
    const forget = (): void => void (opening = undefined);
    opening = openThreads(options, forget);
    opening.catch(forget);
    return opening;
  };

  const attempt = async <N extends TaskName>(
    name: N,
    request: Tasks[N]['request'],
    transfer: readonly Transferable[],
  ): Promise<Tasks[N]['response']> => {
    const askedMs = Date.now();
    debug(() => `${name}: asked for${aboutOf(request)}`);
    requireOpen();
    try {
      const threads = await openOnce();
      // piscina types neither task nor answer; the handler with this name returns this reply
      const task: Task<N> = { request, askedMs };
      const reply = (await threads.run(task, name, transfer, isShort(name, request))) as Reply<N>;
      debug(
        () =>
          `${name}: ${reply.ok ? 'done' : reply.error.code}, ${Date.now() - askedMs} ms with the wait for a thread${aboutOf(request)}`,
      );
      if (reply.ok) return reply.value;
      throw fromErrorData(reply.error);
    } catch (error) {
      if (!isImageError(error)) requireOpen();
      throw error;
    }
  };

  const close = async (): Promise<void> => {
    closing.abort(closedError('pool'));
    const threads = await opening?.catch(() => undefined); // who asked for them has been told
    await threads?.close();
  };

  return {
    closed,
    async run(name, request, transfer = []) {
      try {
        return await attempt(name, request, transfer);
      } catch (error) {
        const isStartFailure = hasCode(error, 'INTERNAL') && isOutOfFiles(error);
        if ((isImageError(error) && !isStartFailure) || transfer.length > 0) throw error;
        debug(() => `${name}: its thread failed${aboutOf(request)}: ${show(String(error))}`);
        await removeOutput(request as Output); // these names mean files in all requests
        // a thread that did not start, or load its modules, for lack of file descriptors did not die of its task
        const repeat = () => attempt(name, request, transfer);
        return whenFilesAreFree(repeat).catch((again: unknown) => workerFailed(again, shownOf(request)));
      }
    },
    warmUp() {
      requireOpen();
      openOnce().catch(() => undefined); // the first task will report it
    },
    async recycle(threadId) {
      requireOpen();
      await (await opening)?.find(threadId)?.terminate();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** The files that a task makes, if it makes any. */
type Output = { readonly image?: string; readonly archive?: string | undefined; readonly tar?: string };

/** Removes the unfinished files of a task. */
export async function removeOutput({ image, archive, tar }: Output): Promise<void> {
  for (const path of [image, archive, tar]) if (path !== undefined) await rm(path, { force: true });
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
    const maximum = process.getBuiltinModule('node:v8').getHeapStatistics().heap_size_limit; // threads have the limit of the main thread
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

const shortTasks: ReadonlySet<TaskName> = new Set([
  'verifySignature',
  'verifyImage',
  'inspectSignature',
  'inspectKey',
  'inspectKeys',
  'start',
]);

/** A file of so many bytes is hashed in less time than a thread takes to start. */
const shortFileBytes = 32 * 2 ** 20;

/** Whether a task takes less time than a thread takes to start. */
function isShort(name: TaskName, request: object): boolean {
  const { source, size = Infinity } = request as { source?: IngestRequest['source']; size?: number }; // where a request has them
  return shortTasks.has(name) || source?.kind === 'bytes' || size <= shortFileBytes;
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
