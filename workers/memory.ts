import { MessageChannel, type MessagePort } from 'node:worker_threads';

/** Messages of a thread to the keeper of the memory budget. A request that is not patient is answered at once. */
export type ToMemory =
  | { readonly kind: 'ask'; readonly id: number; readonly bytes: number; readonly isPatient: boolean }
  | { readonly kind: 'give'; readonly id: number };

export type FromMemory = { readonly id: number; readonly isGranted: boolean };

/** The first message of a thread to the keeper of the budget. */
export type MemoryMessage = { readonly kind: 'memory'; readonly port: MessagePort };

/** Reserved memory of one decompressor, released by dispose. */
export type Share = Disposable;

/** Reserves memory for a decompressor. */
export type Memory = { reserve(bytes: number): Promise<Share> };

/** The state of a decompressor's input. */
export type Arrival = {
  /** Resolves once the input is complete. @throws CANCELLED after a stop message */
  readonly whole: () => Promise<void>;
  /** Rejects with CANCELLED after a stop message; otherwise never settles. */
  readonly stopped: Promise<never>;
};

/** For threads without a memory budget. */
export const unlimitedMemory: Memory = { reserve: () => Promise.resolve({ [Symbol.dispose]: () => undefined }) };

export type MemoryClient = {
  /** For input that is complete. */
  readonly memory: Memory;
  /** For input that may still grow: memory that is not free at once is waited for only once the input is complete. */
  readonly memoryFor: (arrival: Arrival) => Memory;
};

/** @param openPort - called at the first request; the keeper of the budget serves the other end. */
export function createMemoryClient(openPort: () => MessagePort): MemoryClient {
  let port: MessagePort | undefined;
  let last = 0;
  const requests = new Map<number, (isGranted: boolean) => void>();

  const open = (): MessagePort => {
    const opened = openPort();
    opened.on('message', ({ id, isGranted }: FromMemory) => {
      requests.get(id)?.(isGranted);
      requests.delete(id);
    });
    opened.unref(); // the waiting task keeps the thread alive
    return opened;
  };
  const ask = async (bytes: number, isPatient: boolean, stopped?: Promise<never>): Promise<Share | undefined> => {
    const to = (port ??= open());
    const id = ++last;
    const answered = Promise.withResolvers<boolean>();
    requests.set(id, answered.resolve);
    to.postMessage({ kind: 'ask', id, bytes, isPatient } satisfies ToMemory);
    const give = (): void => to.postMessage({ kind: 'give', id } satisfies ToMemory);
    try {
      const isGranted = await (stopped ? Promise.race([answered.promise, stopped]) : answered.promise);
      return isGranted ? { [Symbol.dispose]: give } : undefined;
    } catch (error) {
      give();
      throw error;
    }
  };
  const reserve = async (bytes: number, stopped?: Promise<never>): Promise<Share> => {
    const share = await ask(bytes, true, stopped);
    if (!share) throw new Error('who waits for memory was sent away');
    return share;
  };

  return {
    memory: { reserve: (bytes) => reserve(bytes) },
    memoryFor: ({ whole, stopped }) => ({
      async reserve(bytes) {
        const share = await ask(bytes, false, stopped);
        if (share) return share;
        await whole();
        return reserve(bytes, stopped);
      },
    }),
  };
}

let client: MemoryClient | undefined;

/** Lets this thread share the budget that the receiver of the port keeps. */
export function shareMemory(send: (message: MemoryMessage, transfer: readonly [MessagePort]) => void): void {
  client = createMemoryClient(() => {
    const { port1, port2 } = new MessageChannel();
    send({ kind: 'memory', port: port2 }, [port2]);
    return port1;
  });
}

/** The memory of this thread. */
export function threadMemory(arrival?: Arrival): Memory {
  if (!client) return unlimitedMemory;
  return arrival ? client.memoryFor(arrival) : client.memory;
}
