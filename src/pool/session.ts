import { rm } from 'node:fs/promises';
import { MessageChannel, type MessagePort } from 'node:worker_threads';

import { ImageError, isImageError } from '../errors.ts';
import type { Dependency } from '../image/manifest.ts';
import type { FromIngest, IngestRequest, IngestResponse, ToIngest } from '../../workers/tasks.ts';
import { type Pool, workerFailed } from './pool.ts';

/** How long a session may take to answer `stop` before its thread is recycled. */
const stopMs = 5_000;
/** A session is told of growth at most once per so many bytes. */
const stepBytes = 256 * 1024;

export type SessionRequest = Omit<IngestRequest, 'source'> & {
  readonly path: string;
  /** Told once the manifest has come, of an image that is not verified; once more when the session starts again. */
  readonly onDependencies?: (dependencies: readonly Dependency[]) => void;
};

/** An ingest that follows a file while a download fills it. */
export type Session = {
  /** Rejects as the ingest does; CANCELLED after stop(). */
  readonly result: Promise<IngestResponse>;
  grown(bytes: number): void;
  complete(bytes: number): void;
  /** Resolves when the session has ended; if it had no result, its output is gone. */
  stop(): Promise<void>;
};

/**
 * Starts an ingest of `path`, of which `bytes` are there; it stops when the signal is aborted. When its worker dies with it,
 * it starts again from the file, once: the neighbour of an archive that kills its worker must not pay for it.
 */
export function startSession(
  pool: Pick<Pool, 'run' | 'recycle'>,
  request: SessionRequest,
  bytes: number,
  signal: AbortSignal,
): Session {
  let known: ToIngest & { kind: 'grown' | 'complete' } = { kind: 'grown', bytes };
  let isStopped = false;
  let current = follow(pool, request, bytes);
  const unanswered = Promise.withResolvers<never>();

  const tell = (message: typeof known): void => {
    known = message;
    current.port.postMessage(message);
  };

  const again = async (error: unknown): Promise<IngestResponse> => {
    if (isImageError(error)) throw error;
    await rm(request.image, { force: true }); // what the dead worker had begun
    if (isStopped) throw stopped(error);
    current = follow(pool, request, known.bytes);
    tell(known);
    return current.result;
  };

  const stop = async (): Promise<void> => {
    isStopped = true;
    current.port.postMessage({ kind: 'stop' } satisfies ToIngest);
    const timer = setTimeout(() => {
      if (current.threadId === undefined) unanswered.reject(stopped());
      else void pool.recycle(current.threadId);
    }, stopMs);
    await result.catch(() => undefined);
    clearTimeout(timer);
  };
  const abort = (): void => void stop();

  const ingested = current.result.catch(again).catch((error: unknown) => workerFailed(error, request.shown));
  const result = Promise.race([ingested, unanswered.promise]).finally(() => {
    signal.removeEventListener('abort', abort);
  });
  result.catch(() => undefined); // whoever asked looks at `result`; a session that is stopped may have nobody
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();

  return {
    result,
    grown(now) {
      if (now - known.bytes >= stepBytes) tell({ kind: 'grown', bytes: now });
    },
    complete: (now) => tell({ kind: 'complete', bytes: now }),
    stop,
  };
}

function stopped(cause?: unknown): ImageError {
  return new ImageError('CANCELLED', 'the session was stopped', { reason: 'stop' }, { cause });
}

type Following = {
  readonly port: MessagePort;
  readonly result: Promise<IngestResponse>;
  /** Undefined until a thread has begun with it. */
  threadId: number | undefined;
};

function follow(
  pool: Pick<Pool, 'run'>,
  { path, onDependencies, ...request }: SessionRequest,
  bytes: number,
): Following {
  const { port1: port, port2 } = new MessageChannel();
  const source = { kind: 'growing', path, bytes, port: port2 } as const;
  const result = pool.run('ingest', { ...request, source }, [port2]).finally(() => port.close());
  const following: Following = { port, result, threadId: undefined };
  port.on('message', (message: FromIngest) => {
    if (message.kind === 'started') following.threadId = message.threadId;
    else onDependencies?.(message.dependencies);
  });
  port.unref();
  return following;
}
