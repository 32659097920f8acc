import type { MessagePort } from 'node:worker_threads';

import { ImageError } from '../../src/errors.ts';
import type { FromImport, ToImport } from './requests.ts';

type Written = Omit<Extract<FromImport, { kind: 'written' }>, 'kind' | 'id'>;

/** What the thread asks of the main thread, which owns the store and the pipes. Everything is CANCELLED once it says stop. */
export type MainThread = Disposable & {
  /** The bytes of the pipe. Each piece is valid until the next is requested. */
  bytes(this: void): AsyncGenerator<Uint8Array>;
  /** Where to write a file; undefined if the store has it. */
  placeOf(this: void, file: Omit<Extract<FromImport, { kind: 'file' }>, 'kind' | 'id'>): Promise<string | undefined>;
  /** Resolves when a file that was written is in the store. */
  keep(this: void, file: Written): Promise<void>;
  /** Tells that so many bytes of the archive have been read. */
  tell(this: void, bytes: number, total: number | undefined): void;
  check(this: void): void;
};

/** Pieces that the main thread may send before they are asked for one by one. */
const piecesAhead = 8;

export function openMainThread(port: MessagePort): MainThread {
  const waiting = new Map<number, PromiseWithResolvers<string | undefined>>();
  const pieces: Uint8Array[] = [];
  let last = 0;
  let isEnded = false;
  let stopped: ImageError | undefined;
  let arrived = Promise.withResolvers<void>();

  const arrive = (): void => {
    arrived.resolve();
    arrived = Promise.withResolvers<void>();
  };
  const stop = (): void => {
    stopped ??= new ImageError('CANCELLED', 'the import was told to stop', { reason: 'stop' });
    for (const { reject } of waiting.values()) reject(stopped);
    waiting.clear();
    arrive();
  };
  const check = (): void => {
    if (stopped) throw stopped;
  };
  const onMessage = (message: ToImport): void => {
    switch (message.kind) {
      case 'bytes':
        pieces.push(message.bytes);
        return arrive();
      case 'end':
        isEnded = true;
        return arrive();
      case 'place':
      case 'kept':
        waiting.get(message.id)?.resolve('path' in message ? message.path : undefined);
        waiting.delete(message.id);
        return;
      case 'stop':
        return stop();
    }
  };
  port.on('message', onMessage);
  port.on('close', stop);

  const ask = (message: (id: number) => FromImport): Promise<string | undefined> => {
    check();
    const id = ++last;
    const answered = Promise.withResolvers<string | undefined>();
    waiting.set(id, answered);
    port.postMessage(message(id));
    return answered.promise;
  };

  return {
    check,
    placeOf: (file) => ask((id) => ({ kind: 'file', id, ...file })),
    keep: async (file) => void (await ask((id) => ({ kind: 'written', id, ...file }))),
    tell: (bytes, total) =>
      port.postMessage({ kind: 'read', bytes, ...(total !== undefined && { total }) } satisfies FromImport),
    async *bytes() {
      const more = (): void => port.postMessage({ kind: 'more' } satisfies FromImport);
      for (let count = 0; count < piecesAhead; count += 1) more();
      for (;;) {
        check();
        const piece = pieces.shift();
        if (piece) {
          yield piece;
          more();
        } else if (isEnded) return;
        else await arrived.promise;
      }
    },
    [Symbol.dispose]() {
      port.off('close', stop);
      port.off('message', onMessage);
      port.unref();
    },
  };
}
