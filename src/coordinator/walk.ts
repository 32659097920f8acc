import PQueue from 'p-queue';

import { asImageError, ImageError } from '../errors.ts';
import type { EventSink } from '../events.ts';
import type { Limits } from '../image/limits.ts';
import type { Dependency } from '../image/manifest.ts';
import { type ImageReference, withoutSecrets } from '../image/reference.ts';
import { show } from '../image/show.ts';
import { createPrefetcher, type Prefetched, type Visit } from './prefetch.ts';
import { expand } from './expand.ts';
import { breakCycles, createGraph, type Graph } from './graph.ts';
import { createNode, type ImageNode, type NodeRequest } from './node.ts';
import { cancelledBy, dependencyError } from './outcome.ts';
import { debugLog } from '../system/debug.ts';

const debug = debugLog('coordinator');

/** Nodes that may be under way at once. Most wait for a transfer; what is not begun yet costs next to nothing. */
const aliveNodes = 1024;

/** One parsed request, in the caller's own words and at its position among them. */
export type BatchRequest = {
  readonly index: number;
  readonly text: string;
  readonly key: string;
  readonly signature: string | undefined;
  readonly reference: ImageReference;
};

export type WalkOptions<F> = {
  readonly limits: Pick<Limits, 'depth' | 'nodes'>;
  readonly failFast: boolean;
  readonly nowMs: () => number;
  /** Finds out about one node; rejects with an ImageError, or with anything once the signal is aborted. */
  readonly visit: Visit<F>;
  /** What else has to be visited because of what was found. */
  readonly dependenciesOf: (found: F) => readonly Dependency[];
  readonly imageIdOf: (found: F) => string | undefined;
  /** Told of each node once, after all that it depends on. */
  readonly onSettled: (node: ImageNode<F>) => void;
  /** Told of nodes that are added and started. */
  readonly onEvent?: EventSink;
};

/** Visits requests and their dependencies, each once. Never rejects for a node that fails; a bug rejects. */
export async function walk<F>(
  requests: readonly BatchRequest[],
  { limits, failFast, nowMs, visit, dependenciesOf, imageIdOf, onSettled, onEvent }: WalkOptions<F>,
  stopped: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const signal = AbortSignal.any([stopped, stop.signal]);
  const nodes = new Map<string, ImageNode<F>>();
  const queue = new PQueue({ concurrency: aliveNodes });
  const prefetcher = createPrefetcher<F>({ visit, dependenciesOf, nowMs, nodes, signal });
  let failure: ImageError | undefined;

  const graph = createGraph<ImageNode<F>>((node) => {
    node.error ??= dependencyError(node);
    if (!node.error) node.cancelled ??= node.children.find((child) => child.cancelled)?.cancelled;
    onSettled(node);
    node.found = undefined;
    if (failFast && node.error)
      stop.abort(new ImageError('CANCELLED', 'another image failed', { reason: 'fail-fast' }));
  });

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

  /** Dependencies come before requests that have not begun: a tree that is begun is finished. */
  const enqueue = (node: ImageNode<F>): void => {
    const priority = Math.min(node.depth, 1);
    const begun = prefetcher.claim(node.key);
    queue
      .add(() => enter(node, begun), { priority })
      .catch((bug: unknown) => stop.abort((failure ??= asImageError(bug))));
  };

  const visitNow = (node: ImageNode<F>): Promise<F> =>
    visit(node, { onDependencies: (dependencies) => prefetcher.request(node, dependencies) }, signal);

  const enter = async (node: ImageNode<F>, begun: Prefetched<F> | undefined): Promise<void> => {
    const beganMs = begun?.beganMs ?? nowMs();
    try {
      signal.throwIfAborted();
      onEvent?.({ type: 'node-started', key: node.key, reference: withoutSecrets(node.reference.text) });
      debug(() => `${shownOf(node)}: ${begun ? 'was prefetched' : 'begins'}`);
      begun?.promote();
      node.found = await (begun?.result ?? visitNow(node));
      node.imageId = imageIdOf(node.found);
      const dependencies = dependenciesOf(node.found);
      debug(() => `${shownOf(node)}: there after ${nowMs() - beganMs} ms; it needs ${dependencies.length} images`);
      for (const request of expand(node, dependencies, limits, nodes)) {
        const { node: child, isNew } = add(request, node);
        graph.link(node, child);
        debug(() => `${shownOf(node)} needs ${shownOf(child)}${isNew ? '' : ', which the batch has already'}`);
        if (isNew) enqueue(child);
      }
    } catch (error) {
      if (signal.aborted) node.cancelled = cancelledBy(signal.reason);
      else node.error = asImageError(error);
      debug(() => `${shownOf(node)}: ${node.error ? `${node.error.code}: ${node.error.message}` : 'cancelled'}`);
    }
    node.durationMs = nowMs() - beganMs;
    prefetcher.release(node.key);
    graph.done(node);
  };

  for (const { index, text, ...request } of requests) {
    const { node } = add({ ...request, pin: undefined, depth: 0 });
    node.requests.push({ index, text });
  }
  for (const node of [...nodes.values()]) {
    enqueue(node);
    await queue.onSizeLessThan(aliveNodes);
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
