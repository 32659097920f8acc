import { MessageChannel, type MessagePort } from 'node:worker_threads';

import type {
  FromIngest,
  GrowingFile,
  IngestRequest,
  IngestResponse,
  ToIngest,
} from '../../workers/ingest/requests.ts';
import { ImageError, isImageError } from '../errors.ts';
import type { Dependency } from '../image/manifest.ts';
import { type Pool, removeOutput, workerFailed } from './pool.ts';

/** The longest time for a session to end after `stop`; then its thread is recycled. */
const stopMs = 5_000;
/** The size of a growing file is sent to the session each time it has grown by this much. */
const stepBytes = 256 * 1024;

export type SessionRequest = Omit<IngestRequest, 'source'> &
  GrowingFile & {
    /** Called when the manifest has been read; the image is not verified yet. Called again if the session starts again. */
    readonly onDependencies?: (dependencies: readonly Dependency[]) => void;
  };

/** An ingest that reads a file while it is being downloaded. */
export type Session = {
  /** The result of the ingest. Rejects as the ingest does, or with CANCELLED after `stop`. */
  readonly result: Promise<IngestResponse>;
  grown(bytes: number): void;
  complete(bytes: number): void;
  /** Resolves when the session has ended. If it had no result, its output has been removed. */
  stop(): Promise<void>;
};

/**
 * Starts an ingest of the file `path`, which has `bytes` so far; it stops when the signal is aborted. If its thread dies, the session
 * starts again from the file, once, since another session of that thread may have been the cause.
 */
export function startSession(
  pool: Pick<Pool, 'run' | 'recycle'>,
  request: SessionRequest,
  bytes: number,
  signal: AbortSignal,
): Session {
  let lastMessage: ToIngest & { kind: 'grown' | 'complete' } = { kind: 'grown', bytes };
  let isStopped = false;
  let current = follow(pool, request, bytes);
  const unanswered = Promise.withResolvers<never>();

  const send = (message: typeof lastMessage): void => {
    lastMessage = message;
    current.port.postMessage(message);
  };

  const restart = async (error: unknown): Promise<IngestResponse> => {
    if (isImageError(error)) throw error;
    await removeOutput(request);
    if (isStopped) throw stoppedError(error);
    current = follow(pool, request, lastMessage.bytes);
    send(lastMessage);
    return current.result;
  };

  const stop = async (): Promise<void> => {
    isStopped = true;
    current.port.postMessage({ kind: 'stop' } satisfies ToIngest);
    const timer = setTimeout(() => {
      if (current.threadId === undefined) unanswered.reject(stoppedError());
      else pool.recycle(current.threadId).catch(() => undefined); // a pool that was closed has ended it
    }, stopMs);
    await result.catch(() => undefined);
    clearTimeout(timer);
  };
  const abort = (): void => void stop();

  const ingested = current.result.catch(restart).catch((error: unknown) => workerFailed(error, request.shown));
  const result = Promise.race([ingested, unanswered.promise]).finally(() => {
    signal.removeEventListener('abort', abort);
  });
  result.catch(() => undefined); // no unhandled rejection if nobody awaits the result of a stopped session
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();

  return {
    result,
    grown(now) {
      if (now - lastMessage.bytes >= stepBytes) send({ kind: 'grown', bytes: now });
    },
    complete: (now) => send({ kind: 'complete', bytes: now }),
    stop,
  };
}

function stoppedError(cause?: unknown): ImageError {
  return new ImageError('CANCELLED', 'the session was stopped', { reason: 'stop' }, { cause });
}

type Following = {
  readonly port: MessagePort;
  readonly result: Promise<IngestResponse>;
  /** Undefined until a thread has begun the ingest. */
  threadId: number | undefined;
};

function follow(
  pool: Pick<Pool, 'run'>,
  { path, isNamed = false, onDependencies, ...request }: SessionRequest,
  bytes: number,
): Following {
  const { port1: port, port2 } = new MessageChannel();
  const source = { kind: 'growing', path, isNamed, bytes, port: port2 } as const;
  const result = pool.run('ingest', { ...request, source }, [port2]).finally(() => port.close());
  const following: Following = { port, result, threadId: undefined };
  port.on('message', (message: FromIngest) => {
    if (message.kind === 'started') following.threadId = message.threadId;
    else onDependencies?.(message.dependencies);
  });
  port.unref();
  return following;
}
