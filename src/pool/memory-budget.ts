import type { MessagePort } from 'node:worker_threads';

import type { FromMemory, ToMemory } from '../../workers/memory.ts';

/** The most bytes that the decompressors of all threads use together. */
const memoryBytes = 256 * 1024 * 1024;

/** Gives shares of one budget to threads; each thread has a port of its own. */
export type MemoryBudget = {
  /** Answers a thread until its port closes. The shares of the thread are then given back, however it ended. */
  serve(port: MessagePort): void;
};

type ShareRequest = { readonly bytes: number; readonly isPatient: boolean; readonly grant: () => void };

/**
 * Waiting requests are served in their order. A thread that waits holds no share, so there is no deadlock. Requests that do not wait
 * are for input that may arrive slowly; together they get at most half of the budget.
 */
export function createMemoryBudget(bytes = memoryBytes): MemoryBudget {
  const held = new Set<ShareRequest>();
  const waiting = new Set<ShareRequest>();
  const sum = (asks: readonly ShareRequest[]): number => asks.reduce((total, ask) => total + ask.bytes, 0);

  const grant = (ask: ShareRequest): void => {
    held.add(ask);
    ask.grant();
  };
  const hasRoom = (ask: ShareRequest): boolean => {
    if (sum([...held]) + ask.bytes > bytes) return false;
    if (ask.isPatient) return true;
    const impatient = sum([...held].filter((one) => !one.isPatient));
    return waiting.size === 0 && impatient + ask.bytes <= bytes / 2;
  };
  const giveBack = (ask: ShareRequest): void => {
    held.delete(ask);
    waiting.delete(ask);
    for (const next of waiting) {
      if (!hasRoom(next)) return;
      waiting.delete(next);
      grant(next);
    }
  };

  return {
    serve(port) {
      const requests = new Map<number, ShareRequest>();
      const answer = (message: FromMemory): void => port.postMessage(message);
      port.on('message', (message: ToMemory) => {
        const { id } = message;
        if (message.kind === 'give') {
          const ask = requests.get(id);
          requests.delete(id);
          if (ask) giveBack(ask);
          return;
        }
        const { isPatient } = message;
        const ask: ShareRequest = { bytes: message.bytes, isPatient, grant: () => answer({ id, isGranted: true }) };
        const isAtOnce = (!isPatient || waiting.size === 0) && hasRoom(ask);
        if (isAtOnce || isPatient) requests.set(id, ask);
        if (isAtOnce) grant(ask);
        else if (isPatient) waiting.add(ask);
        else answer({ id, isGranted: false });
      });
      port.on('close', () => {
        for (const ask of requests.values()) giveBack(ask);
        requests.clear();
      });
      port.unref();
    },
  };
}
