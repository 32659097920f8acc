import type { Dependency } from '../image/manifest.ts';
import { requestOf } from './expand.ts';
import type { ImageNode, NodeRequest } from './node.ts';
import { debugLog } from '../system/debug.ts';
import { show } from '../image/show.ts';

const debug = debugLog('coordinator');

/** What a visit reports, and learns, before its image is verified. */
export type VisitHooks = {
  readonly onDependencies: (dependencies: readonly Dependency[]) => void;
  /** Of a prefetch: resolves when a verified image asks for its node. */
  readonly promoted?: Promise<void>;
};

export type Visit<F> = (request: NodeRequest, early: VisitHooks, signal: AbortSignal) => Promise<F>;

/** An image that is not verified yet and has dependencies; `root` is the key of the request whose tree it is in. */
export type Requester = Pick<ImageNode, 'key' | 'depth' | 'root'>;

/** A visit that began before its node existed. */
export type Prefetched<F> = {
  readonly beganMs: number;
  readonly result: Promise<F>;
  /** Its node has begun. */
  promote(): void;
};

/** Visits for images that no verified image asks for yet. They make no nodes: their results wait for a node. */
type Prefetcher<F> = {
  /** Begins visits for dependencies of the requester, as many as there is room for, and the rest when there is room. */
  request(requester: Requester, dependencies: readonly Dependency[]): void;
  /** Hands over the visit for a node that a verified image asks for, if it has begun. */
  claim(key: string): Prefetched<F> | undefined;
  /** The requester has its nodes, or has failed: aborts the visits that nothing else asks for. */
  release(key: string): void;
  /** Resolves once no visit that was aborted is under way. */
  ended(): Promise<void>;
};

type PrefetchOptions<F> = {
  readonly visit: Visit<F>;
  readonly dependenciesOf: (found: F) => readonly Dependency[];
  readonly nowMs: () => number;
  /** The batch's nodes by key: they are not prefetched. */
  readonly nodes: ReadonlyMap<string, Pick<ImageNode, 'state'>>;
  readonly signal: AbortSignal;
};

export function createPrefetcher<F>({
  visit,
  dependenciesOf,
  nowMs,
  nodes,
  signal,
}: PrefetchOptions<F>): Prefetcher<F> {
  const table = createPrefetchTable<F>();
  const { entries } = table;
  /** What requesters need and has not begun yet. */
  const pending = new Map<string, { readonly requester: Requester; readonly requests: NodeRequest[] }>();
  const running = new Set<Promise<void>>();

  /** A visit that has begun may get one more requester, whether there is room or not. */
  const join = (requester: Requester, { key }: NodeRequest): boolean => {
    entries.get(key)?.requesters.add(requester.key);
    return entries.has(key);
  };

  const fill = (): void => {
    for (const [key, { requester, requests }] of pending) {
      if (table.isFull()) return;
      while (table.hasRoom(requester.root)) {
        const request = requests.shift();
        if (!request) break;
        if (!join(requester, request) && !nodes.has(request.key)) begin(requester, request);
      }
      if (requests.length === 0) pending.delete(key);
    }
  };

  const prefetch = (requester: Requester, dependencies: readonly Dependency[]): void => {
    if (!entries.has(requester.key) && nodes.get(requester.key)?.state !== 'open') return; // the requester has ended
    const requests = dependencies.map((dependency) => requestOf(dependency, requester.depth + 1));
    pending.set(requester.key, { requester, requests: requests.filter((request) => !join(requester, request)) });
    fill();
  };

  const begin = ({ key: first, root }: Requester, request: NodeRequest): void => {
    const { key, depth } = request;
    const self = { key, depth, root };
    const stop = new AbortController();
    const promoted = Promise.withResolvers<void>();
    const hooks = {
      promoted: promoted.promise,
      onDependencies: (needs: readonly Dependency[]) => prefetch(self, needs),
    };
    const result = visit(request, hooks, AbortSignal.any([signal, stop.signal]));
    const entry = {
      ...{ ...self, beganMs: nowMs(), result, requesters: new Set([first]) },
      promote: promoted.resolve,
      abort: () => stop.abort(new Error('nothing asks for it any more')),
    };
    table.insert(entry);
    debug(() => `${show(request.reference.text)}: prefetched, as one of ${entries.size}`);

    const isPrefetched = (): boolean => entries.get(key) === entry;
    const over = result
      .then(
        (found) => isPrefetched() && prefetch(self, dependenciesOf(found)),
        () => isPrefetched() && release(key), // its failure is reported by the node that claims it
      )
      .then(() => void running.delete(over));
    running.add(over);
  };

  const release = (key: string): void => {
    pending.delete(key);
    if (entries.size === 0) return;
    for (const entry of table.removeRequester(key)) {
      pending.delete(entry.key);
      debug(() => `${show(entry.key)}: its prefetch is dropped, since nothing asks for it any more`);
      entry.abort();
    }
    fill();
  };

  return {
    request: prefetch,
    release,
    claim(key) {
      const entry = entries.get(key);
      if (!entry) return undefined;
      table.remove(entry);
      fill();
      return entry;
    },
    async ended() {
      await Promise.all(running);
    },
  };
}

/** Prefetches at once, of the batch and of the tree of one request; a promoted one is not counted. */
const most = { batch: 64, root: 16 };

type Entry<F> = Requester & Prefetched<F> & { readonly requesters: Set<string>; abort(): void };

/** The prefetches, the requesters of each, and how many there may be. */
type PrefetchTable<F> = {
  readonly entries: ReadonlyMap<string, Entry<F>>;
  /** For a visit in the tree of this request. */
  hasRoom(root: string): boolean;
  isFull(): boolean;
  insert(entry: Entry<F>): void;
  remove(entry: Entry<F>): void;
  /** Removes a requester. @returns the entries that nothing asks for now, which are removed as well. */
  removeRequester(key: string): readonly Entry<F>[];
};

function createPrefetchTable<F>(): PrefetchTable<F> {
  const entries = new Map<string, Entry<F>>();
  /** How many entries there are in the tree of each request. */
  const below = new Map<string, number>();

  const isFull = (): boolean => entries.size >= most.batch;

  const remove = ({ key, root }: Entry<F>): void => {
    entries.delete(key);
    const others = (below.get(root) ?? 0) - 1;
    if (others > 0) below.set(root, others);
    else below.delete(root);
  };

  const forget = (key: string): void => {
    for (const { requesters: requesters } of entries.values()) requesters.delete(key);
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
    removeRequester(key) {
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

/** Those that a node asks for, itself or through others of them. Two that ask for each other alone are not. */
function reachable(entries: ReadonlyMap<string, { readonly requesters: ReadonlySet<string> }>): ReadonlySet<string> {
  const found = new Set<string>();
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const [key, { requesters }] of entries) {
      if (requesters.values().some((requester) => !entries.has(requester) || found.has(requester))) found.add(key);
    }
  }
  return found;
}
