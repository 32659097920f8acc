import { setTimeout } from 'node:timers/promises';

import { showUrl } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import type { ClaimAnswer } from './index/protocol.ts';
import { hashKey } from './index/rows.ts';
import type { IndexRequest } from './index-thread.ts';
import type { Claim, OnSilence, Patience, Store } from './store.ts';

const debug = debugLog('store');

/** A waiting process asks again after 20 to 80 ms, and less often when many wait. */
const pollMs = 20;
const pollJitterMs = 60;
const manyWaiting = 100;

const defaultPatience: Patience = { sayMs: 5_000, aloneMs: 60_000 };

type Claims = Pick<Store, 'claim' | 'tryClaim'> & {
  /** Whether this process went on without the claim because its holder gave no sign of life. @param key - the hash. */
  readonly isAlone: (key: string) => boolean;
};

/**
 * Single flight. Callers in this process queue; processes use rows of the index.
 *
 * @param closed - ends all waits.
 */
export function createClaims(
  request: IndexRequest,
  closed: AbortSignal,
  { sayMs, aloneMs }: Patience = defaultPatience,
): Claims {
  const mutex = createKeyedMutex();
  const alone = new Set<string>();
  let waiting = 0;

  const toClaim = (key: string, lock: KeyLock, waited: boolean): Claim => {
    let released: Promise<void> | undefined;
    const end = (): void => {
      alone.delete(key);
      lock.release();
    };
    // This fails only if the writer has ended, and then all claims are released.
    const release = (): Promise<void> => (released ??= request('release', { key }).then(end, end));
    return { waited, release, [Symbol.asyncDispose]: release };
  };

  /** An answer may give us the key after the signal was aborted: then it is released. */
  const takeRow = async (key: string, signal: AbortSignal): Promise<ClaimAnswer> => {
    const answer = await request('claim', { key });
    if (answer.isOurs && signal.aborted) await request('release', { key });
    signal.throwIfAborted();
    return answer;
  };

  const waitForRow = async (
    key: string,
    first: ClaimAnswer,
    signal: AbortSignal,
    onSilence: OnSilence,
  ): Promise<void> => {
    let isSaid = false;
    waiting += 1;
    try {
      for (let answer = first; !answer.isOurs; answer = await takeRow(key, signal)) {
        if (answer.silentMs >= aloneMs) {
          alone.add(key);
          return onSilence('going on alone');
        }
        if (answer.silentMs >= sayMs && !isSaid) onSilence('still waiting');
        isSaid = answer.silentMs >= sayMs;
        const delayMs = (pollMs + Math.random() * pollJitterMs) * (1 + waiting / manyWaiting);
        await setTimeout(delayMs, undefined, { signal });
      }
    } finally {
      waiting -= 1;
    }
  };

  return {
    isAlone: (key) => alone.has(key),
    async claim(text, wanted, onSilence = () => undefined) {
      const key = hashKey(text);
      const signal = AbortSignal.any([wanted, closed]);
      const lock = await mutex.lock(key, signal);
      try {
        const answer = await takeRow(key, signal);
        const waitsMs = performance.now();
        if (!answer.isOurs) debug(() => `${showUrl(text)}: another process has the claim`);
        await waitForRow(key, answer, signal, onSilence);
        debug(() => `${showUrl(text)}: claimed, after ${Math.round(performance.now() - waitsMs)} ms`);
        return toClaim(key, lock, lock.waited || !answer.isOurs);
      } catch (error) {
        lock.release();
        signal.throwIfAborted();
        throw error;
      }
    },
    async tryClaim(text) {
      const key = hashKey(text);
      const lock = mutex.tryLock(key);
      if (!lock) return undefined;
      try {
        if ((await request('claim', { key })).isOurs) return toClaim(key, lock, false);
        lock.release();
        return undefined;
      } catch (error) {
        lock.release();
        throw error;
      }
    },
  };
}

type KeyLock = {
  /** True when another caller held it first. */
  readonly waited: boolean;
  readonly release: () => void;
};

/** At most one holder of each key in this process. Callers get it in the order in which they asked. */
type KeyedMutex = {
  /** Rejects with the signal's reason once it is aborted. */
  lock(key: string, signal: AbortSignal): Promise<KeyLock>;
  tryLock(key: string): KeyLock | undefined;
};

function createKeyedMutex(): KeyedMutex {
  /** The waiting callers of each key that is held. */
  const queues = new Map<string, Set<() => void>>();

  const begin = (key: string, waited: boolean): KeyLock => ({
    waited,
    release: () => {
      const queue = queues.get(key) ?? new Set();
      const [next] = queue;
      if (!next) return void queues.delete(key);
      queue.delete(next);
      next();
    },
  });

  return {
    tryLock(key) {
      if (queues.has(key)) return undefined;
      queues.set(key, new Set());
      return begin(key, false);
    },
    async lock(key, signal) {
      signal.throwIfAborted();
      const queue = queues.get(key);
      if (queue) await wait(queue, signal);
      else queues.set(key, new Set());
      return begin(key, queue !== undefined);
    },
  };
}

function wait(queue: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      queue.delete(enter);
      reject(signal.reason as Error);
    };
    const enter = (): void => {
      signal.removeEventListener('abort', leave);
      resolve();
    };
    signal.addEventListener('abort', leave, { once: true });
    queue.add(enter);
  });
}
