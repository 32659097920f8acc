import { setTimeout } from 'node:timers/promises';

import type { ClaimAnswer } from '../../workers/index-writer/protocol.ts';
import { hashKey } from './remote-row.ts';
import type { Claim, OnSilence, Patience, Store } from './store.ts';
import { createTurns, type Turn } from './turns.ts';
import type { Request } from './writer.ts';

/** A waiter asks again after 20 to 80 ms, less often when a crowd waits. */
const pollMs = 20;
const pollJitterMs = 60;
const crowd = 100;

const defaultPatience: Patience = { sayMs: 5_000, aloneMs: 60_000 };

export type Claims = Pick<Store, 'claim' | 'tryClaim'> & {
  /** Whether a key is claimed here although somebody holds it who gives no sign of life. @param key - its hash. */
  readonly isAlone: (key: string) => boolean;
};

/** Single flight: within the process by taking turns, among processes by rows of the index. */
export function createClaims(request: Request, { sayMs, aloneMs }: Patience = defaultPatience): Claims {
  const turns = createTurns();
  const alone = new Set<string>();
  let waiting = 0;

  const toClaim = (key: string, turn: Turn, waited: boolean): Claim => {
    let released: Promise<void> | undefined;
    const end = (): void => {
      alone.delete(key);
      turn.end();
    };
    // Only the end of the writer makes this fail, and that released everything.
    const release = (): Promise<void> => (released ??= request('release', { key }).then(end, end));
    return { waited, release, [Symbol.asyncDispose]: release };
  };

  /** Once the answer is under way the key may be ours, whatever happened to the signal meanwhile. */
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
        const delayMs = (pollMs + Math.random() * pollJitterMs) * (1 + waiting / crowd);
        await setTimeout(delayMs, undefined, { signal });
      }
    } finally {
      waiting -= 1;
    }
  };

  return {
    isAlone: (key) => alone.has(key),
    async claim(text, signal, onSilence = () => undefined) {
      const key = hashKey(text);
      const turn = await turns.take(key, signal);
      try {
        const answer = await takeRow(key, signal);
        await waitForRow(key, answer, signal, onSilence);
        return toClaim(key, turn, turn.waited || !answer.isOurs);
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
        if ((await request('claim', { key })).isOurs) return toClaim(key, turn, false);
        turn.end();
        return undefined;
      } catch (error) {
        turn.end();
        throw error;
      }
    },
  };
}
