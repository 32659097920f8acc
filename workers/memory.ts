import { MessageChannel, type MessagePort } from 'node:worker_threads';

/** What a thread tells whoever keeps the budget. One that is not patient is answered at once. */
export type ToMemory =
  | { readonly kind: 'ask'; readonly id: number; readonly bytes: number; readonly isPatient: boolean }
  | { readonly kind: 'give'; readonly id: number };

export type FromMemory = { readonly id: number; readonly isGranted: boolean };

/** A thread's first message to whoever keeps the budget. */
export type MemoryMessage = { readonly kind: 'memory'; readonly port: MessagePort };

/** Memory of one decompressor; given back when it is disposed of. */
export type Share = Disposable;

/** Where a decompressor gets the memory that it is going to take. */
export type Memory = { reserve(bytes: number): Promise<Share> };

/** How far the input of a decompressor is. */
export type Arrival = {
  /** Resolves once all of it is there. @throws CANCELLED when told to stop */
  readonly whole: () => Promise<void>;
  /** Rejects, with CANCELLED, when told to stop; else never settles. */
  readonly stopped: Promise<never>;
};

/** Without a budget to share: in a thread that nobody gave one. */
export const unlimitedMemory: Memory = { reserve: () => Promise.resolve({ [Symbol.dispose]: () => undefined }) };

export type MemoryClient = {
  /** For input that is there. */
  readonly memory: Memory;
  /** For input that may still be coming: what is not to be had at once is waited for once all of it is there. */
  readonly memoryFor: (arrival: Arrival) => Memory;
};

/** @param port - opened when something is first asked for; its other end is served by the keeper of the budget. */
export function createMemoryClient(openPort: () => MessagePort): MemoryClient {
  let port: MessagePort | undefined;
  let last = 0;
  const asked = new Map<number, (isGranted: boolean) => void>();

  const open = (): MessagePort => {
    const opened = openPort();
    opened.on('message', ({ id, isGranted }: FromMemory) => {
      asked.get(id)?.(isGranted);
      asked.delete(id);
    });
    opened.unref(); // the task that waits keeps the thread
    return opened;
  };
  const ask = async (bytes: number, isPatient: boolean, stopped?: Promise<never>): Promise<Share | undefined> => {
    const to = (port ??= open());
    const id = ++last;
    const answered = Promise.withResolvers<boolean>();
    asked.set(id, answered.resolve);
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

/** Has this thread share the budget of whoever gets the port. */
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
