import type { MessagePort } from 'node:worker_threads';

import type { FromMemory, ToMemory } from '../../workers/memory.ts';

/** Bytes that the decompressors of all threads may hold together. */
const memoryBytes = 256 * 1024 * 1024;

/** Gives shares of one budget to threads, each over a port of its own. */
export type MemoryBudget = {
  /** Answers a thread until its port closes: then what it holds is given back, however it ended. */
  serve(port: MessagePort): void;
};

type Ask = { readonly bytes: number; readonly isPatient: boolean; readonly grant: () => void };

/**
 * Whoever waits is served in the order in which he came, and holds nothing meanwhile, so nobody waits for ever. Those who do
 * not wait, whose input may take long to come, get no more than half of it together.
 */
export function createMemoryBudget(bytes = memoryBytes): MemoryBudget {
  const held = new Set<Ask>();
  const waiting = new Set<Ask>();
  const sum = (asks: readonly Ask[]): number => asks.reduce((total, ask) => total + ask.bytes, 0);

  const grant = (ask: Ask): void => {
    held.add(ask);
    ask.grant();
  };
  const hasRoom = (ask: Ask): boolean => {
    if (sum([...held]) + ask.bytes > bytes) return false;
    if (ask.isPatient) return true;
    const impatient = sum([...held].filter((one) => !one.isPatient));
    return waiting.size === 0 && impatient + ask.bytes <= bytes / 2;
  };
  const give = (ask: Ask): void => {
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
      const own = new Map<number, Ask>();
      const answer = (message: FromMemory): void => port.postMessage(message);
      port.on('message', (message: ToMemory) => {
        const { id } = message;
        if (message.kind === 'give') {
          const ask = own.get(id);
          own.delete(id);
          if (ask) give(ask);
          return;
        }
        const { isPatient } = message;
        const ask: Ask = { bytes: message.bytes, isPatient, grant: () => answer({ id, isGranted: true }) };
        const isAtOnce = (!isPatient || waiting.size === 0) && hasRoom(ask);
        if (isAtOnce || isPatient) own.set(id, ask);
        if (isAtOnce) grant(ask);
        else if (isPatient) waiting.add(ask);
        else answer({ id, isGranted: false });
      });
      port.on('close', () => {
        for (const ask of own.values()) give(ask);
        own.clear();
      });
      port.unref();
    },
  };
}
