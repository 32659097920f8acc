import type { Life } from './life.ts';
import { timesOf } from './times.ts';

export type Kept = {
  get(key: string): Life | undefined;
  /** Takes one more, if need be for the one that is over and tells least. @returns false when there is no room */
  admit(life: Life): boolean;
  /** It may go from here on. */
  over(life: Life): void;
  all(): Iterable<Life>;
};

type Candidate = { readonly life: Life; readonly interest: number };

/** Lives of images, at most so many: those that are not over, then those that failed, then those that took longest. */
export function keepMost(most: number): Kept {
  const lives = new Map<string, Life>();
  /** A heap: what is least interesting comes first. */
  const heap: Candidate[] = [];
  return {
    get: (key) => lives.get(key),
    admit(life) {
      if (lives.size >= most) {
        const least = pop(heap);
        if (!least) return false;
        lives.delete(least.life.key);
      }
      lives.set(life.key, life);
      return true;
    },
    over(life) {
      const { workMs } = timesOf([life.addedMs, ...life.spans]);
      push(heap, { life, interest: life.outcome?.status === 'failed' ? Infinity : workMs });
    },
    all: () => lives.values(),
  };
}

function push(heap: Candidate[], candidate: Candidate): void {
  let at = heap.length;
  for (let above = (at - 1) >> 1; at > 0; at = above, above = (at - 1) >> 1) {
    const other = heap[above];
    if (!other || other.interest <= candidate.interest) break;
    heap[at] = other;
  }
  heap[at] = candidate;
}

function pop(heap: Candidate[]): Candidate | undefined {
  const [first] = heap;
  const last = heap.pop();
  if (!last || heap.length === 0) return first;
  let at = 0;
  for (;;) {
    const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]];
    const less = right && left && right.interest < left.interest ? right : left;
    if (!less || less.interest >= last.interest) break;
    heap[at] = less;
    at = less === right ? 2 * at + 2 : 2 * at + 1;
  }
  heap[at] = last;
  return first;
}
