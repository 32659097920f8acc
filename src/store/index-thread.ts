import { extname } from 'node:path';
import { setTimeout } from 'node:timers/promises';
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
  const requests = createRequests(making, (messages) => worker.postMessage(messages));
  let isOpen = false;
  let isClosing = false;

  worker.on('message', (answers: readonly FromWriter[]) => {
    requests.settle(answers);
    if (requests.pending() === 0) worker.unref();
  });
  worker.on('error', (error) => requests.end(!isOpen && isOutOfFiles(error) ? outOfFiles(error) : died(error)));
  worker.on('exit', () => requests.end(isClosing ? closedError('store') : died()));

  const opened = requests.answerTo(0);
  opened.catch(() => undefined);
  const layout = await making.catch(async (error: unknown) => {
    await worker.terminate();
    throw error;
  });
  worker.postMessage(layout);
  const owner = await opened;
  isOpen = true;
  /** A pending request keeps the process alive; an idle store does not. */
  const request: IndexRequest = (task, content) => {
    worker.ref();
    return requests.request(task, content);
  };
  return {
    owner: () => String(owner),
    request,
    close: async () => {
      isClosing = true;
      await request('close', undefined).catch(() => undefined); // a thread that died has nothing to close
      worker.ref(); // otherwise the process might end before the thread
      await exited;
    },
  };
}

/** How long a request waits until it looks again whether another process writes. */
const lockedMs = 20;

/**
 * Opens the index in this thread: for a process that writes little, which would wait longer for a thread than for what it writes. While
 * another process writes, requests wait, but not the thread.
 *
 * @throws what `making` throws, and a STORE_ code
 */
export async function openWriterHere(making: Promise<Layout>): Promise<Writer> {
  const [layout, { openWriter }] = await Promise.all([making, import('./index/writer/open-writer.ts')]);
  let handled = Promise.resolve();
  const handle = async (messages: readonly ToWriter[]): Promise<void> => {
    while (writer.mustWait()) await setTimeout(lockedMs);
    writer.handle(messages);
  };
  const requests = createRequests(making, (messages) => {
    handled = handled.then(() => handle(messages)).catch((error: unknown) => requests.end(died(error, 'what writes')));
  });
  const open = (): ReturnType<typeof openWriter> => openWriter(layout, requests.settle, { hasThread: false });
  const writer = await Promise.try(open).catch((error: unknown) => {
    throw storeError(error, layout.index);
  });
  return {
    owner: () => writer.owner,
    request: requests.request,
    close: async () => {
      await requests.request('close', undefined).catch(() => undefined);
      requests.end(closedError('store'));
    },
  };
}

type Requests = {
  readonly request: IndexRequest;
  readonly answerTo: (id: number) => Promise<unknown>;
  readonly settle: (answers: readonly FromWriter[]) => void;
  /** How many have no answer yet. */
  readonly pending: () => number;
  /** Rejects what is pending and what comes later. The first error counts. */
  readonly end: (error: Error) => void;
};

/** @param send - sends all requests of one turn of the event loop at once. */
function createRequests(making: Promise<Layout>, send: (messages: readonly ToWriter[]) => void): Requests {
  const pending = new Map<number, Pending>();
  let outbox: ToWriter[] = [];
  let lastId = 0;
  let ended: Error | undefined;

  const answerTo = (id: number): Promise<unknown> =>
    new Promise((resolve, reject) => pending.set(id, { resolve, reject }));

  const settle = (answer: FromWriter): void => {
    const waiting = pending.get(answer.id);
    pending.delete(answer.id);
    if (answer.ok) waiting?.resolve(answer.value);
    else void making.then(({ index }) => waiting?.reject(storeError(fromFailure(answer.failure), index)));
  };

  const flush = (): void => {
    const due = outbox;
    outbox = [];
    send(due);
  };

  const request = async (task: WriterTask, content: unknown): Promise<unknown> => {
    if (ended) throw ended;
    lastId += 1;
    if (outbox.length === 0) setImmediate(flush);
    outbox.push({ id: lastId, task, request: content } as ToWriter); // the type of `Request` pairs the two
    return answerTo(lastId);
  };

  return {
    request: request as IndexRequest, // an answer has the type of its task
    answerTo,
    settle: (answers) => answers.forEach(settle),
    pending: () => pending.size,
    end: (error) => {
      ended ??= error;
      for (const { reject } of pending.values()) reject(error);
      pending.clear();
    },
  };
}

function outOfFiles(cause: unknown): Error {
  return Object.assign(new Error('the index thread died', { cause }), { code: 'EMFILE' });
}

/** What was committed before is safe. */
function died(cause?: unknown, who = 'the thread that writes'): ImageError<'INTERNAL'> {
  const why = cause === undefined ? '' : `: ${show(whyFailed(cause))}`;
  const message = `${who} the index of the store died${why}; nothing is written any more until the store is opened again`;
  return new ImageError('INTERNAL', message, { what: 'index thread' }, { cause });
}

/** The error of the thread, with its codes. */
function fromFailure({ known, message, stack, ...codes }: Failure): Error {
  if (known) return fromErrorData(known);
  return Object.assign(new Error(message), stack !== undefined && { stack }, codes);
}
