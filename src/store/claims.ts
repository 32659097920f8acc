import { setTimeout } from 'node:timers/promises';

import { hashKey } from './remote-row.ts';
import type { Claim, Store } from './store.ts';
import { createTurns, type Turn } from './turns.ts';
import type { Request } from './writer.ts';

/** A waiter asks again after 20 to 80 ms, less often when a crowd waits. */
const pollMs = 20;
const pollJitterMs = 60;
const crowd = 100;

/** Single flight: within the process by taking turns, among processes by rows of the index. */
export function createClaims(request: Request): Pick<Store, 'claim' | 'tryClaim'> {
  const turns = createTurns();
  let waiting = 0;

  const toClaim = (key: string, turn: Turn, waited: boolean): Claim => {
    let released: Promise<void> | undefined;
    // Only the end of the writer makes this fail, and that released everything.
    const release = (): Promise<void> => (released ??= request('release', { key }).then(turn.end, turn.end));
    return { waited, release, [Symbol.asyncDispose]: release };
  };

  /** Once the answer is under way the key may be ours, whatever happened to the signal meanwhile. */
  const takeRow = async (key: string, signal: AbortSignal): Promise<boolean> => {
    const taken = await request('claim', { key });
    if (taken && signal.aborted) await request('release', { key });
    signal.throwIfAborted();
    return taken;
  };

  const waitForRow = async (key: string, signal: AbortSignal): Promise<void> => {
    waiting += 1;
    try {
      do {
        const delayMs = (pollMs + Math.random() * pollJitterMs) * (1 + waiting / crowd);
        await setTimeout(delayMs, undefined, { signal });
      } while (!(await takeRow(key, signal)));
    } finally {
      waiting -= 1;
    }
  };

  return {
    async claim(text, signal) {
      const key = hashKey(text);
      const turn = await turns.take(key, signal);
      try {
        const atOnce = await takeRow(key, signal);
        if (!atOnce) await waitForRow(key, signal);
        return toClaim(key, turn, turn.waited || !atOnce);
      } catch (error) {
        turn.end();
        signal.throwIfAborted();
        throw error;
      }
    },
    async tryClaim(text) {
      const key = hashKey(text);
      const turn = turns.tryTake(key);
      if (!turn) return undefined;
      try {
        if (await request('claim', { key })) return toClaim(key, turn, false);
        turn.end();
        return undefined;
      } catch (error) {
        turn.end();
        throw error;
      }
    },
  };
}
