import type { Asker, Begun } from './ahead.ts';

/** Nodes ahead at once, of the batch and below one request; counted until a verified image asks for them. */
const most = { batch: 64, root: 16 };

export type Entry<F> = Asker & Begun<F> & { readonly askers: Set<string>; drop(): void };

/** The visits ahead, who asks for each, and how many there may be. */
export type AheadBook<F> = {
  readonly entries: ReadonlyMap<string, Entry<F>>;
  /** For a visit below this request. */
  hasRoom(root: string): boolean;
  isFull(): boolean;
  insert(entry: Entry<F>): void;
  remove(entry: Entry<F>): void;
  /** Nothing with this key asks any more. @returns what nothing asks for now, which is no entry any more. */
  leave(key: string): readonly Entry<F>[];
};

export function createAheadBook<F>(): AheadBook<F> {
  const entries = new Map<string, Entry<F>>();
  /** How many entries there are below each request. */
  const below = new Map<string, number>();

  const isFull = (): boolean => entries.size >= most.batch;

  const remove = ({ key, root }: Entry<F>): void => {
    entries.delete(key);
    const others = (below.get(root) ?? 0) - 1;
    if (others > 0) below.set(root, others);
    else below.delete(root);
  };

  const forget = (key: string): void => {
    for (const { askers } of entries.values()) askers.delete(key);
  };

  return {
    entries,
    isFull,
    hasRoom: (root) => !isFull() && (below.get(root) ?? 0) < most.root,
    insert(entry) {
      entries.set(entry.key, entry);
      below.set(entry.root, (below.get(entry.root) ?? 0) + 1);
    },
    remove,
    leave(key) {
      forget(key);
      const wanted = reachable(entries);
      const dropped = [...entries.values()].filter((entry) => !wanted.has(entry.key));
      for (const entry of dropped) {
        remove(entry);
        forget(entry.key);
      }
      return dropped;
    },
  };
}

/** Those that a node asks for, by itself or through others of them: two that only ask for each other are not. */
function reachable(entries: ReadonlyMap<string, { readonly askers: ReadonlySet<string> }>): ReadonlySet<string> {
  const found = new Set<string>();
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const [key, { askers }] of entries) {
      if (askers.values().some((asker) => !entries.has(asker) || found.has(asker))) found.add(key);
    }
  }
  return found;
}
