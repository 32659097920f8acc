import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';

import type { FromWriter, Layout, ToWriter, WriterTask, WriterTasks, Failure } from './index/protocol.ts';
import { isOutOfFiles } from '../system/spare-files.ts';
import { storeError } from './store-error.ts';
import { fromErrorData } from '../errors.ts';

/** The thread that owns the index. */
export type Writer = {
  /** The name of this process's directory in `tmp`. */
  readonly owner: () => string;
  readonly request: IndexRequest;
  /** Ends the thread; what was asked for before is done and answered. */
  readonly close: () => Promise<void>;
};

export type IndexRequest = <N extends WriterTask>(
  task: N,
  request: WriterTasks[N]['request'],
) => Promise<WriterTasks[N]['response']>;

type Pending = { readonly resolve: (value: unknown) => void; readonly reject: (error: unknown) => void };

/** `tsc` rewrites imports but not URLs. */
const filename = new URL(`../../workers/index-writer${extname(import.meta.url)}`, import.meta.url);

/**
 * Starts the thread, which takes as long as to make a store, and waits until it has opened the index there.
 *
 * @throws what `making` and the thread do
 */
export async function startWriter(making: Promise<Layout>): Promise<Writer> {
  // Not the flags of the program: a thread takes over --input-type and fails on it.
  const worker = new Worker(filename, {
    name: 'index',
    execArgv: ['--disable-warning=ExperimentalWarning'],
    resourceLimits: { maxYoungGenerationSizeMb: 12 },
  });
  making.catch(() => undefined); // told below, once the thread has ended
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const pending = new Map<number, Pending>();
  let outbox: ToWriter[] = [];
  let lastId = 0;
  let ended: Error | undefined;

  /** An idle store must not keep the process alive; a pending request must. */
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
  worker.on('error', (error) => {
    const died = new Error('the index writer died', { cause: error });
    end(isOutOfFiles(error) ? Object.assign(died, { code: 'EMFILE' }) : died);
  });
  worker.on('exit', () => end(new Error('the store is closed')));

  /** One message for all that is asked for in one turn of the event loop. */
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

  const opened = answerTo(0); // also when the thread dies before it is asked
  opened.catch(() => undefined);
  const layout = await making.catch(async (error: unknown) => {
    await worker.terminate();
    throw error;
  });
  worker.postMessage(layout);
  const owner = await opened;
  return {
    owner: () => String(owner),
    request: request as IndexRequest, // an answer has the type of its task
    close: async () => {
      if (!ended) await request('close', undefined);
      worker.ref(); // or the process might end before the thread has
      await exited;
    },
  };
}

/** The error that the thread met, with the codes that tell what it means. */
function fromFailure({ known, message, stack, ...codes }: Failure): Error {
  if (known) return fromErrorData(known);
  return Object.assign(new Error(message), stack !== undefined && { stack }, codes);
}
