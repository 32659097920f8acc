import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';

import { closedError, fromErrorData, ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { whyFailed } from '../system/errno.ts';
import { isOutOfFiles } from '../system/spare-files.ts';
import type { Failure, FromWriter, Layout, ToWriter, WriterTask, WriterTasks } from './index/protocol.ts';
import { storeError } from './store-error.ts';

/** The thread that owns the index. */
export type Writer = {
  /** The name of this process's directory in `tmp`. */
  readonly owner: () => string;
  readonly request: IndexRequest;
  /** Ends the thread after it has answered all earlier requests. */
  readonly close: () => Promise<void>;
};

export type IndexRequest = <N extends WriterTask>(
  task: N,
  request: WriterTasks[N]['request'],
) => Promise<WriterTasks[N]['response']>;

type Pending = { readonly resolve: (value: unknown) => void; readonly reject: (error: unknown) => void };

/** `tsc` rewrites imports but not URLs. */
const ownFile = new URL(`../../workers/index-writer${extname(import.meta.url)}`, import.meta.url);

/**
 * Starts the thread while the directory is being made, since both take about the same time. Waits until the index is
 * open.
 *
 * @param workerFile - what the thread runs, as a URL; default our own.
 * @throws what `making` and the thread throw
 */
export async function startWriter(making: Promise<Layout>, workerFile?: string): Promise<Writer> {
  // The flags of the program are not passed on: a thread that gets --input-type fails.
  const worker = new Worker(workerFile === undefined ? ownFile : new URL(workerFile), {
    name: 'index',
    workerData: { thread: 'index' }, // longshore/worker is run by all threads
    execArgv: ['--disable-warning=ExperimentalWarning'],
    resourceLimits: { maxYoungGenerationSizeMb: 12 },
  });
  making.catch(() => undefined); // awaited and thrown below, once the thread has ended
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const pending = new Map<number, Pending>();
  let outbox: ToWriter[] = [];
  let lastId = 0;
  let ended: Error | undefined;
  let isOpen = false;
  let isClosing = false;

  /** A pending request keeps the process alive; an idle store does not. */
  const answerTo = (id: number): Promise<unknown> => {
    worker.ref();
    return new Promise((resolve, reject) => pending.set(id, { resolve, reject }));
  };

  const settle = (answer: FromWriter): void => {
    const waiting = pending.get(answer.id);
    pending.delete(answer.id);
    if (answer.ok) waiting?.resolve(answer.value);
    else void making.then(({ index }) => waiting?.reject(storeError(fromFailure(answer.failure), index)));
  };

  const end = (error: Error): void => {
    ended ??= error;
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  };

  worker.on('message', (answers: readonly FromWriter[]) => {
    answers.forEach(settle);
    if (pending.size === 0) worker.unref();
  });
  worker.on('error', (error) => end(!isOpen && isOutOfFiles(error) ? outOfFiles(error) : died(error)));
  worker.on('exit', () => end(isClosing ? closedError('store') : died()));

  /** Sends all requests of one turn of the event loop in one message. */
  const send = (): void => {
    worker.postMessage(outbox);
    outbox = [];
  };

  const request = async (task: WriterTask, content: unknown): Promise<unknown> => {
    if (ended) throw ended;
    lastId += 1;
    if (outbox.length === 0) setImmediate(send);
    outbox.push({ id: lastId, task, request: content } as ToWriter); // the type of `Request` pairs the two
    return answerTo(lastId);
  };

  const opened = answerTo(0); // before the layout is sent, so that it also rejects when the thread dies earlier
  opened.catch(() => undefined);
  const layout = await making.catch(async (error: unknown) => {
    await worker.terminate();
    throw error;
  });
  worker.postMessage(layout);
  const owner = await opened;
  isOpen = true;
  return {
    owner: () => String(owner),
    request: request as IndexRequest, // an answer has the type of its task
    close: async () => {
      isClosing = true;
      if (!ended) await request('close', undefined).catch(() => undefined); // a thread that died has nothing to close
      worker.ref(); // otherwise the process might end before the thread
      await exited;
    },
  };
}

function outOfFiles(cause: unknown): Error {
  return Object.assign(new Error('the index thread died', { cause }), { code: 'EMFILE' });
}

/** What was committed before is safe. */
function died(cause?: unknown): ImageError<'INTERNAL'> {
  const why = cause === undefined ? '' : `: ${show(whyFailed(cause))}`;
  const message = `the thread that writes the index of the store died${why}; nothing is written any more until the store is opened again`;
  return new ImageError('INTERNAL', message, { what: 'index thread' }, { cause });
}

/** The error of the thread, with its codes. */
function fromFailure({ known, message, stack, ...codes }: Failure): Error {
  if (known) return fromErrorData(known);
  return Object.assign(new Error(message), stack !== undefined && { stack }, codes);
}
