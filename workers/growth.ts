import type { MessagePort } from 'node:worker_threads';

import { ImageError } from '../src/errors.ts';
import type { ToIngest } from './tasks.ts';

/** How far a file has grown that another thread fills. */
export type Growth = {
  /** Resolves when there are more bytes than that, or will never be. @throws CANCELLED when told to stop */
  beyond(bytes: number): Promise<{ readonly bytes: number; readonly isComplete: boolean }>;
  /** Resolves once all bytes are there. @throws CANCELLED when told to stop */
  readonly whole: () => Promise<void>;
  /** Rejects, with CANCELLED, when told to stop. */
  readonly stopped: Promise<never>;
  /** @throws CANCELLED when told to stop */
  check(): void;
  close(): void;
};

/** @param bytes - that are there to begin with. @param port - of messages ToIngest; when it closes, that is a stop. */
export function followGrowth(bytes: number, port: MessagePort): Growth {
  let state = { bytes, isComplete: false };
  let isStopped = false;
  let changed = Promise.withResolvers<void>();

  const stopping = Promise.withResolvers<never>();
  stopping.promise.catch(() => undefined); // not everybody waits for it
  const told = (): ImageError => new ImageError('CANCELLED', 'the session was told to stop', { reason: 'stop' });
  const check = (): void => {
    if (isStopped) throw told();
  };
  const change = (): void => {
    changed.resolve();
    changed = Promise.withResolvers<void>();
  };
  const stop = (): void => {
    isStopped = true;
    stopping.reject(told());
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
