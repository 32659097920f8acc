import { setImmediate as turn } from 'node:timers/promises';

import PQueue from 'p-queue';

import { asImageError, hasCode, ImageError } from '../errors.ts';
import type { EventSink } from '../events.ts';
import type { OwnChoices } from '../fetchers/context.ts';
import type { Limits } from '../image/limits.ts';
import type { Dependency } from '../image/manifest.ts';
import { type ImageReference, withoutSecrets } from '../image/reference.ts';
import { show } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import { expand } from './expand.ts';
import { breakCycles, createGraph, type Graph } from './graph.ts';
import { createNode, type ImageNode, type NodeRequest } from './node.ts';
import { cancelledBy, dependencyError } from './outcome.ts';
import { createPrefetcher, type Prefetched, type Visit } from './prefetch.ts';

const debug = debugLog('coordinator');

/** The most nodes that have begun at a time; most of them wait for a transfer. Other nodes need little memory. */
const maxBegunNodes = 1024;
/** After so many requests, other work of this thread gets a turn. */
const nodesPerTurn = 64;

/** One request: `text` is as the caller wrote it, `index` its position among the requests. */
export type BatchRequest = ParsedRequest | InvalidRequest;

type ParsedRequest = {
  readonly index: number;
  readonly text: string;
  readonly key: string;
  readonly signature: string | undefined;
  readonly reference: ImageReference;
  readonly choices?: OwnChoices | undefined;
};

/** A request that cannot be parsed: it fails with the error. */
type InvalidRequest = { readonly index: number; readonly text: string; readonly error: ImageError };

export type WalkOptions<F> = {
  readonly limits: Pick<Limits, 'depth' | 'nodes'>;
  readonly failFast: boolean;
  readonly nowMs: () => number;
  /** Fetches or plans one node. Rejects with an ImageError, or with anything once the signal is aborted. */
  readonly visit: Visit<F>;
  /** The result of a visit that has to wait for nothing, or hardly for anything. If undefined, or if it fails, the node is visited. */
  readonly find?: (request: NodeRequest) => F | undefined | Promise<F | undefined>;
  /** The dependencies to visit after a node. */
  readonly dependenciesOf: (found: F) => readonly Dependency[];
  readonly imageIdOf: (found: F) => string | undefined;
  /** Called once for each node, after all its dependencies. */
  readonly onSettled: (node: ImageNode<F>) => void;
  /** Called for each request that cannot be parsed, with the key of its node. */
  readonly onInvalid: (request: InvalidRequest, key: string) => void;
  /** Called when nodes are added and started. */
  readonly onEvent?: EventSink;
};

/** Visits requests and their dependencies, each once. Does not reject if a node fails; a bug rejects. */
export async function walk<F>(
  requests: readonly BatchRequest[],
  options: WalkOptions<F>,
  stopped: AbortSignal,
): Promise<void> {
  const { limits, failFast, nowMs, visit, find, dependenciesOf, imageIdOf, onSettled, onInvalid, onEvent } = options;
  const stop = new AbortController();
  const signal = AbortSignal.any([stopped, stop.signal]);
  const nodes = new Map<string, ImageNode<F>>();
  const queue = new PQueue({ concurrency: maxBegunNodes });
  const prefetcher = createPrefetcher<F>({ visit, dependenciesOf, nowMs, nodes, signal });
  let failure: ImageError | undefined;

  const graph = createGraph<ImageNode<F>>((node) => {
    node.error ??= dependencyError(node);
    if (!node.error) node.cancelled ??= node.children.find((child) => child.cancelled)?.cancelled;
    onSettled(node);
    node.found = undefined;
    if (node.error) stopIfFailFast();
  });

  const stopIfFailFast = (): void => {
    if (failFast) stop.abort(new ImageError('CANCELLED', 'another image failed', { reason: 'failFast' }));
  };

  /** It has a key that no reference has. */
  const refuse = (request: InvalidRequest): void => {
    const key = `invalid:${request.index}`;
    onEvent?.({ type: 'node-added', key, reference: withoutSecrets(request.text) });
    onInvalid(request, key);
    stopIfFailFast();
  };

  const add = (request: NodeRequest, parent?: ImageNode<F>): { node: ImageNode<F>; isNew: boolean } => {
    const known = nodes.get(request.key);
    if (known) return { node: known, isNew: false };
    const node = createNode<F>(request, parent?.root ?? request.key);
    nodes.set(request.key, node);
    const { key, reference } = node;
    const about = { key, reference: withoutSecrets(reference.text), ...(parent && { parent: parent.key }) };
    onEvent?.({ type: 'node-added', ...about });
    return { node, isNew: true };
  };

  /** Dependencies have a higher priority than requests, so that a tree that has begun is finished first. */
  const enqueue = (node: ImageNode<F>): void => {
    const priority = Math.min(node.depth, 1);
    const prefetched = prefetcher.claim(node.key);
    queue
      .add(() => enter(node, prefetched), { priority })
      .catch((bug: unknown) => stop.abort((failure ??= asImageError(bug))));
  };

  const visitNow = (node: ImageNode<F>): Promise<F> =>
    visit(node, { onDependencies: (dependencies) => prefetcher.request(node, dependencies) }, signal);

  const start = (node: ImageNode<F>, how: string): void => {
    onEvent?.({ type: 'node-started', key: node.key, reference: withoutSecrets(node.reference.text) });
    debug(() => `${shownOf(node)}: ${how}`);
  };

  const found = (node: ImageNode<F>, result: F, beganMs: number): void => {
    node.found = result;
    node.imageId = imageIdOf(result);
    const dependencies = dependenciesOf(result);
    debug(() => `${shownOf(node)}: visited after ${nowMs() - beganMs} ms; it needs ${dependencies.length} images`);
    for (const request of expand(node, dependencies, limits, nodes)) {
      const { node: child, isNew } = add(request, node);
      graph.link(node, child);
      debug(() => `${shownOf(node)} needs ${shownOf(child)}${isNew ? '' : ', which the batch has already'}`);
      if (isNew) enqueue(child);
    }
  };

  const fail = (node: ImageNode<F>, error: unknown): void => {
    if (!signal.aborted) node.error = asImageError(error);
    else if (hasCode(signal.reason, 'CLOSED')) node.error = signal.reason;
    else node.cancelled = cancelledBy(signal.reason);
    debug(() => `${shownOf(node)}: ${node.error ? `${node.error.code}: ${node.error.message}` : 'cancelled'}`);
  };

  const end = (node: ImageNode<F>, beganMs: number): void => {
    node.durationMs = nowMs() - beganMs;
    prefetcher.release(node.key);
    graph.done(node);
  };

  const enter = async (node: ImageNode<F>, prefetched: Prefetched<F> | undefined): Promise<void> => {
    const beganMs = prefetched?.beganMs ?? nowMs();
    try {
      signal.throwIfAborted();
      start(node, prefetched ? 'was prefetched' : 'begins');
      prefetched?.promote();
      found(node, await (prefetched?.result ?? visitNow(node)), beganMs);
    } catch (error) {
      fail(node, error);
    }
    end(node, beganMs);
  };

  /** @returns whether the node has ended */
  const enterAtOnce = (node: ImageNode<F>, result: F | undefined, beganMs: number): boolean => {
    if (result === undefined || signal.aborted) return false;
    start(node, 'is there');
    try {
      found(node, result, beganMs);
    } catch (error) {
      fail(node, error);
    }
    end(node, beganMs);
    return true;
  };

  /** Without the queue, and mostly without promises: of names that are there, these would take most of the time. */
  const enterOrEnqueue = (node: ImageNode<F>): void | Promise<void> => {
    const beganMs = nowMs();
    const goOn = (result?: F): void => {
      if (!enterAtOnce(node, result, beganMs)) enqueue(node);
    };
    let result: ReturnType<NonNullable<typeof find>>;
    try {
      result = signal.aborted ? undefined : find?.(node);
    } catch {
      // its visit will report it
    }
    return result instanceof Promise ? result.then(goOn, () => goOn()) : goOn(result);
  };

  for (const request of requests) {
    if ('error' in request) {
      refuse(request);
      continue;
    }
    const { index, text, ...parsed } = request;
    const { node } = add({ ...parsed, pin: undefined, depth: 0 });
    node.requests.push({ index, text });
  }
  let sinceTurn = 0;
  for (const node of [...nodes.values()]) {
    const entering = enterOrEnqueue(node);
    if (entering) await entering;
    if (node.state === 'open') await queue.onSizeLessThan(maxBegunNodes);
    sinceTurn = (sinceTurn + 1) % nodesPerTurn;
    if (sinceTurn === 0) await turn();
  }
  await queue.onIdle();
  await prefetcher.ended();
  if (failure) throw failure;
  for (const node of nodes.values()) breakCycles(node, (cycle) => failCycle(cycle, graph));
}

function shownOf({ reference }: Pick<ImageNode, 'reference'>): string {
  return show(withoutSecrets(reference.text));
}

function failCycle<F>(cycle: readonly ImageNode<F>[], graph: Graph<ImageNode<F>>): void {
  const path = cycle.map(({ reference }) => reference.text);
  const what = `it depends on itself: ${show(path.join(' → '), 1024)}`;
  for (const node of cycle) node.error ??= new ImageError('DEPENDENCY_CYCLE', what, { path });
  for (const node of cycle) if (node.state !== 'settled') graph.settle(node);
}
