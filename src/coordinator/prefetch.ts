import type { Dependency } from '../image/manifest.ts';
import { show } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import { requestOf } from './expand.ts';
import type { ImageNode, NodeRequest } from './node.ts';

const debug = debugLog('coordinator');

/** Functions and promises for a visit whose image is not verified yet. */
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
  /** Begins visits for the dependencies of the requester, as many as there is room for; the rest begin when there is room. */
  request(requester: Requester, dependencies: readonly Dependency[]): void;
  /** Returns the visit for a node that a verified image asks for, if it has begun; it is then no longer a prefetch. */
  claim(key: string): Prefetched<F> | undefined;
  /** Called when the requester has its nodes, or has failed. Aborts the visits that no other requester asks for. */
  release(key: string): void;
  /** Resolves when all visits, also aborted ones, have ended. */
  ended(): Promise<void>;
};

type PrefetchOptions<F> = {
  readonly visit: Visit<F>;
  readonly dependenciesOf: (found: F) => readonly Dependency[];
  readonly nowMs: () => number;
  /** The nodes of the batch by key, which are not prefetched. */
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
  /** The requests that have not begun yet, by the key of their requester. */
  const pending = new Map<string, { readonly requester: Requester; readonly requests: NodeRequest[] }>();
  const running = new Set<Promise<void>>();

  /** Adds a requester to a visit that has begun, whether there is room or not. @returns false if it has not begun */
  const addRequester = (requester: Requester, { key }: NodeRequest): boolean => {
    entries.get(key)?.requesters.add(requester.key);
    return entries.has(key);
  };

  const beginPending = (): void => {
    for (const [key, { requester, requests }] of pending) {
      if (table.isFull()) return;
      while (table.hasRoom(requester.root)) {
        const request = requests.shift();
        if (!request) break;
        if (!addRequester(requester, request) && !nodes.has(request.key)) begin(requester, request);
      }
      if (requests.length === 0) pending.delete(key);
    }
  };

  const prefetch = (requester: Requester, dependencies: readonly Dependency[]): void => {
    if (!entries.has(requester.key) && nodes.get(requester.key)?.state !== 'open') return; // the requester has ended
    const requests = dependencies.map((dependency) => requestOf(dependency, requester.depth + 1));
    pending.set(requester.key, {
      requester,
      requests: requests.filter((request) => !addRequester(requester, request)),
    });
    beginPending();
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
    beginPending();
  };

  return {
    request: prefetch,
    release,
    claim(key) {
      const entry = entries.get(key);
      if (!entry) return undefined;
      table.remove(entry);
      beginPending();
      return entry;
    },
    async ended() {
      await Promise.all(running);
    },
  };
}

/** The most prefetches at a time, of the batch and of the tree of one request; promoted ones do not count. */
const maxPrefetches = { batch: 64, root: 16 };

type Entry<F> = Requester & Prefetched<F> & { readonly requesters: Set<string>; abort(): void };

/** The prefetches and their requesters. */
type PrefetchTable<F> = {
  readonly entries: ReadonlyMap<string, Entry<F>>;
  /** Whether a visit in the tree of this request may begin. */
  hasRoom(root: string): boolean;
  isFull(): boolean;
  insert(entry: Entry<F>): void;
  remove(entry: Entry<F>): void;
  /** Removes a requester. @returns the entries that nothing asks for now; they are removed too. */
  removeRequester(key: string): readonly Entry<F>[];
};

function createPrefetchTable<F>(): PrefetchTable<F> {
  const entries = new Map<string, Entry<F>>();
  /** The number of entries in the tree of each request. */
  const countByRoot = new Map<string, number>();

  const isFull = (): boolean => entries.size >= maxPrefetches.batch;

  const remove = ({ key, root }: Entry<F>): void => {
    entries.delete(key);
    const others = (countByRoot.get(root) ?? 0) - 1;
    if (others > 0) countByRoot.set(root, others);
    else countByRoot.delete(root);
  };

  const forget = (key: string): void => {
    for (const { requesters } of entries.values()) requesters.delete(key);
  };

  return {
    entries,
    isFull,
    hasRoom: (root) => !isFull() && (countByRoot.get(root) ?? 0) < maxPrefetches.root,
    insert(entry) {
      entries.set(entry.key, entry);
      countByRoot.set(entry.root, (countByRoot.get(entry.root) ?? 0) + 1);
    },
    remove,
    removeRequester(key) {
      forget(key);
      const kept = reachable(entries);
      const dropped = [...entries.values()].filter((entry) => !kept.has(entry.key));
      for (const entry of dropped) {
        remove(entry);
        forget(entry.key);
      }
      return dropped;
    },
  };
}

/** The entries that a node asks for, directly or through other entries. Entries that only ask for each other are not reachable. */
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
