import { MessageChannel } from 'node:worker_threads';

import { asImageError, ImageError, isImageError } from '../errors.ts';
import type { FromIngest, IngestRequest, IngestResponse, ToIngest } from '../../workers/tasks.ts';
import type { Pool } from './pool.ts';

/** How long a session may take to answer `stop` before its thread is recycled. */
const stopMs = 5_000;
/** A session is told of growth at most once per so many bytes. */
const stepBytes = 256 * 1024;

export type SessionRequest = Omit<IngestRequest, 'source'> & {
  readonly path: string;
  readonly onManifest?: (manifest: string) => void;
};

/** An ingest that follows a file while a download fills it. */
export type Session = {
  /** Rejects as the ingest does; CANCELLED after stop(). */
  readonly result: Promise<IngestResponse>;
  grown(bytes: number): void;
  complete(bytes: number): void;
  /** Resolves when the session has ended and its output is gone. */
  stop(): Promise<void>;
};

/**
 * Starts an ingest of `path`, of which `bytes` are there. When its worker dies with it, it starts again from the file, once:
 * the neighbour of an archive that kills its worker must not pay for it.
 */
export function startSession(pool: Pool, request: SessionRequest, bytes: number): Session {
  let known: ToIngest & { kind: 'grown' | 'complete' } = { kind: 'grown', bytes };
  let told = bytes;
  let stopped = false;
  let current = follow(pool, request, bytes);

  const send = (message: ToIngest): void => current.port.postMessage(message);

  const again = (error: unknown): Promise<IngestResponse> => {
    if (isImageError(error) || stopped) throw asImageError(error);
    current = follow(pool, request, known.bytes);
    if (known.kind === 'complete') send(known);
    return current.result.catch((second: unknown) => {
      if (isImageError(second)) throw second;
      throw new ImageError(
        'INTERNAL',
        'the worker died twice while it read this archive',
        { what: 'worker' },
        { cause: second },
      );
    });
  };
  const result = current.result.catch(again);
  result.catch(() => undefined); // whoever asked looks at `result`; a session that is stopped may have nobody

  return {
    result,
    grown(now) {
      if (now - told < stepBytes) return;
      told = now;
      known = { kind: 'grown', bytes: now };
      send(known);
    },
    complete(now) {
      known = { kind: 'complete', bytes: now };
      send(known);
    },
    async stop() {
      stopped = true;
      send({ kind: 'stop' });
      const timer = setTimeout(() => void current.recycle(), stopMs);
      await result.catch(() => undefined);
      clearTimeout(timer);
    },
  };
}

function follow(pool: Pool, { path, onManifest, ...request }: SessionRequest, bytes: number) {
  const { port1: port, port2 } = new MessageChannel();
  let threadId: number | undefined;
  port.on('message', (message: FromIngest) => {
    switch (message.kind) {
      case 'started':
        threadId = message.threadId;
        break;
      case 'manifest':
        onManifest?.(message.manifest);
        break;
    }
  });
  port.unref();
  const result = pool
    .run('ingest', { ...request, source: { kind: 'growing', path, bytes, port: port2 } }, [port2])
    .finally(() => port.close());
  return {
    port,
    result,
    recycle: async () => {
      if (threadId !== undefined) await pool.recycle(threadId);
    },
  };
}
