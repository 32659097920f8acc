import type { MessagePort } from 'node:worker_threads';

import { ImageError } from '../../src/errors.ts';
import type { Arrival } from '../memory.ts';
import { openFile, openNamedFile, readChunks } from './read-file.ts';
import type { ArchiveSource, ToIngest } from './requests.ts';

/** The bytes of an archive, from the first to the last. */
export type Source = AsyncDisposable & {
  /** Each chunk is valid until the next is requested. @throws FILE_UNREADABLE, CANCELLED */
  chunks(): AsyncIterable<Uint8Array>;
  /** @throws CANCELLED once the session has been told to stop */
  check(): void;
  /** Absent when the archive is complete. */
  readonly arrival?: Arrival;
};

/**
 * @param shown - replaces the path in errors.
 * @throws FILE_NOT_FOUND, FILE_UNREADABLE
 */
export async function openSource(source: ArchiveSource, shown: string): Promise<Source> {
  switch (source.kind) {
    case 'bytes':
      return {
        chunks: () => whole(source.bytes),
        check: () => undefined,
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
    case 'file': {
      const file = await openNamedFile(source.path, shown);
      return {
        chunks: () => readChunks(file, shown),
        check: () => undefined,
        [Symbol.asyncDispose]: () => file.close(),
      };
    }
    case 'growing': {
      // before the first await, since the port's close event comes only once
      const growth = followGrowth(source.bytes, source.port);
      const open = source.isNamed ? openNamedFile : openFile;
      const file = await open(source.path, shown);
      return {
        chunks: () => readChunks(file, shown, async (known) => (await growth.beyond(known)).bytes),
        check: () => growth.check(),
        arrival: growth,
        async [Symbol.asyncDispose]() {
          growth.close();
          await file.close();
        },
      };
    }
  }
}

async function* whole(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** The size of a file that another thread is filling. */
type Growth = {
  /** Resolves when there are more than that many bytes, or never will be. @throws CANCELLED after a stop message */
  beyond(bytes: number): Promise<{ readonly bytes: number; readonly isComplete: boolean }>;
  /** Resolves once the file is complete. @throws CANCELLED after a stop message */
  readonly whole: () => Promise<void>;
  /** Rejects with CANCELLED after a stop message. */
  readonly stopped: Promise<never>;
  /** @throws CANCELLED after a stop message */
  check(): void;
  close(): void;
};

/** @param bytes - the size at the beginning. @param port - sends messages ToIngest; when it closes, that means stop. */
function followGrowth(bytes: number, port: MessagePort): Growth {
  let state = { bytes, isComplete: false };
  let isStopped = false;
  let changed = Promise.withResolvers<void>();

  const stopping = Promise.withResolvers<never>();
  stopping.promise.catch(() => undefined); // it may have no consumer
  const cancelled = (): ImageError => new ImageError('CANCELLED', 'the session was told to stop', { reason: 'stop' });
  const check = (): void => {
    if (isStopped) throw cancelled();
  };
  const change = (): void => {
    changed.resolve();
    changed = Promise.withResolvers<void>();
  };
  const stop = (): void => {
    isStopped = true;
    stopping.reject(cancelled());
    change();
  };
  const onMessage = (message: ToIngest): void => {
    switch (message.kind) {
      case 'grown':
        state = { ...state, bytes: Math.max(state.bytes, message.bytes) };
        return change();
      case 'complete':
        state = { bytes: message.bytes, isComplete: true };
        return change();
      case 'stop':
        return stop();
    }
  };
  port.on('message', onMessage);
  port.on('close', stop);

  return {
    async beyond(known) {
      for (check(); state.bytes <= known && !state.isComplete; check()) await changed.promise;
      return state;
    },
    async whole() {
      for (check(); !state.isComplete; check()) await changed.promise;
    },
    stopped: stopping.promise,
    check,
    close() {
      port.off('close', stop);
      port.off('message', onMessage);
      port.unref();
    },
  };
}
