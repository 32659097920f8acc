import type { Dependency } from '../image/manifest.ts';
import { requestOf } from './expand.ts';
import type { Node, NodeRequest } from './node.ts';

/** What a visit tells, and is told, while its image is not verified yet. */
export type Early = {
  readonly onDependencies: (dependencies: readonly Dependency[]) => void;
  /** Of a visit ahead: resolves once something verified asks for its node. */
  readonly confirmed?: Promise<void>;
};

export type Visit<F> = (request: NodeRequest, early: Early, signal: AbortSignal) => Promise<F>;

/** An image that is not verified yet and names others; `root` is the key of the request it is below, or is itself. */
export type Asker = Pick<Node, 'key' | 'depth' | 'root'>;

/** A visit that was begun before its node was there. */
export type Begun<F> = {
  readonly beganMs: number;
  readonly result: Promise<F>;
  /** Its node is under way. */
  confirm(): void;
};

/** Visits to nodes that nothing verified asks for yet. No node comes of them by itself: whatever they find out waits for one. */
type Ahead<F> = {
  /** Begins visits to what the asker needs, as far as there is room, and with the rest once there is. */
  wish(asker: Asker, dependencies: readonly Dependency[]): void;
  /** The visit to a node that something verified asks for, if it was begun; it is not ahead any more. */
  take(key: string): Begun<F> | undefined;
  /** The asker has its nodes, or has failed: what it wished for and nothing else does is aborted. */
  release(key: string): void;
  /** Resolves once no visit that was aborted is under way. */
  ended(): Promise<void>;
};

type AheadOptions<F> = {
  readonly visit: Visit<F>;
  readonly dependenciesOf: (found: F) => readonly Dependency[];
  readonly nowMs: () => number;
  /** The batch's nodes by key: they are not visited ahead. */
  readonly nodes: ReadonlyMap<string, Pick<Node, 'state'>>;
  readonly signal: AbortSignal;
};

export function createAhead<F>({ visit, dependenciesOf, nowMs, nodes, signal }: AheadOptions<F>): Ahead<F> {
  const book = createAheadBook<F>();
  const { entries } = book;
  /** What askers need and has not been begun. */
  const wishes = new Map<string, { readonly asker: Asker; readonly requests: NodeRequest[] }>();
  const running = new Set<Promise<void>>();

  /** A visit that is under way may have one more who asks for it, whether there is room or not. */
  const join = (asker: Asker, { key }: NodeRequest): boolean => {
    entries.get(key)?.askers.add(asker.key);
    return entries.has(key);
  };

  const fill = (): void => {
    for (const [key, { asker, requests }] of wishes) {
      if (book.isFull()) return;
      while (book.hasRoom(asker.root)) {
        const request = requests.shift();
        if (!request) break;
        if (!join(asker, request) && !nodes.has(request.key)) begin(asker, request);
      }
      if (requests.length === 0) wishes.delete(key);
    }
  };

  const wish = (asker: Asker, dependencies: readonly Dependency[]): void => {
    if (!entries.has(asker.key) && nodes.get(asker.key)?.state !== 'open') return; // told too late
    const requests = dependencies.map((dependency) => requestOf(dependency, asker.depth + 1));
    wishes.set(asker.key, { asker, requests: requests.filter((request) => !join(asker, request)) });
    fill();
  };

  const begin = ({ key: first, root }: Asker, request: NodeRequest): void => {
    const { key, depth } = request;
    const self = { key, depth, root };
    const stop = new AbortController();
    const confirmed = Promise.withResolvers<void>();
    const early = { confirmed: confirmed.promise, onDependencies: (needs: readonly Dependency[]) => wish(self, needs) };
    const result = visit(request, early, AbortSignal.any([signal, stop.signal]));
    const entry = {
      ...{ ...self, beganMs: nowMs(), result, askers: new Set([first]) },
      confirm: confirmed.resolve,
      drop: () => stop.abort(new Error('nothing asks for it any more')),
    };
    book.insert(entry);

    const isAhead = (): boolean => entries.get(key) === entry;
    const over = result
      .then(
        (found) => isAhead() && wish(self, dependenciesOf(found)),
        () => isAhead() && release(key), // its failure waits for whoever asks
      )
      .then(() => void running.delete(over));
    running.add(over);
  };

  const release = (key: string): void => {
    wishes.delete(key);
    if (entries.size === 0) return;
    for (const entry of book.leave(key)) {
      wishes.delete(entry.key);
      entry.drop();
    }
    fill();
  };

  return {
    wish,
    release,
    take(key) {
      const entry = entries.get(key);
      if (!entry) return undefined;
      book.remove(entry);
      fill();
      return entry;
    },
    async ended() {
      await Promise.all(running);
    },
  };
}

/** Nodes ahead at once, of the batch and below one request; counted until a verified image asks for them. */
const most = { batch: 64, root: 16 };

type Entry<F> = Asker & Begun<F> & { readonly askers: Set<string>; drop(): void };

/** The visits ahead, who asks for each, and how many there may be. */
type AheadBook<F> = {
  readonly entries: ReadonlyMap<string, Entry<F>>;
  /** For a visit below this request. */
  hasRoom(root: string): boolean;
  isFull(): boolean;
  insert(entry: Entry<F>): void;
  remove(entry: Entry<F>): void;
  /** Nothing with this key asks any more. @returns what nothing asks for now, which is no entry any more. */
  leave(key: string): readonly Entry<F>[];
};

function createAheadBook<F>(): AheadBook<F> {
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
