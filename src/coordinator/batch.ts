import PQueue from 'p-queue';

import { asImageError, ImageError } from '../errors.ts';
import type { Outcome, Totals } from '../events.ts';
import type { FetchContext } from '../fetchers/context.ts';
import { fetchImage } from '../fetchers/fetch.ts';
import type { ImageReference } from '../image/reference.ts';
import { show } from '../image/show.ts';
import { expand } from './expand.ts';
import { breakCycles, createGraph, type Graph } from './graph.ts';
import { createNode, type Node, type NodeRequest } from './node.ts';
import { dependencyError, outcomes } from './outcome.ts';
import { createTotals } from './totals.ts';

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

export type BatchOptions = {
  readonly context: FetchContext;
  readonly withDeps: boolean;
  readonly failFast: boolean;
  readonly signal: AbortSignal;
  /** Each request's and each dependency's outcome, as soon as it is known. */
  readonly onOutcome: (outcome: Outcome) => void;
};

/** Brings a whole batch. Never rejects for an image that fails; a bug rejects. */
export async function runBatch(requests: readonly BatchRequest[], options: BatchOptions): Promise<Totals> {
  const { context, withDeps, failFast, onOutcome } = options;
  const { onEvent, nowMs, limits } = context;
  const startedMs = nowMs();
  const before = { ...context.tally };
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const nodes = new Map<string, Node>();
  const queue = new PQueue({ concurrency: aliveNodes });
  const totals = createTotals();
  let failure: ImageError | undefined;

  const graph = createGraph<Node>((node) => {
    node.error ??= dependencyError(node);
    node.cancelled ||= node.children.some((child) => child.cancelled) && !node.error;
    totals.add(node);
    const [first, ...others] = outcomes(node);
    onEvent({ type: 'node-finished', key: node.key, outcome: first });
    for (const outcome of [first, ...others]) onOutcome(outcome);
    if (failFast && node.error)
      stop.abort(new ImageError('CANCELLED', 'another image failed', { reason: 'fail-fast' }));
  });

  const add = (request: NodeRequest, parent?: Node): { node: Node; isNew: boolean } => {
    const known = nodes.get(request.key);
    if (known) return { node: known, isNew: false };
    const node = createNode(request);
    nodes.set(request.key, node);
    const { key, reference } = node;
    onEvent({ type: 'node-added', key, reference: reference.text, ...(parent && { parent: parent.key }) });
    return { node, isNew: true };
  };

  /** Dependencies come before requests that have not begun: a tree that is begun is finished. */
  const enqueue = (node: Node): void => {
    const priority = Math.min(node.depth, 1);
    queue.add(() => visit(node), { priority }).catch((bug: unknown) => stop.abort((failure ??= asImageError(bug))));
  };

  const visit = async (node: Node): Promise<void> => {
    const beganMs = nowMs();
    try {
      signal.throwIfAborted();
      onEvent({ type: 'node-started', key: node.key, reference: node.reference.text });
      node.found = await fetchImage(context, node, signal);
      for (const request of withDeps ? expand(node, limits, nodes) : []) {
        const { node: child, isNew } = add(request, node);
        graph.link(node, child);
        if (isNew) enqueue(child);
      }
    } catch (error) {
      if (signal.aborted) node.cancelled = true;
      else node.error = asImageError(error);
    }
    node.durationMs = nowMs() - beganMs;
    graph.done(node);
  };

  onEvent({ type: 'batch-started', requests: requests.length });
  for (const { index, text, ...request } of requests) {
    const { node } = add({ ...request, pin: undefined, depth: 0 });
    node.requests.push({ index, text });
  }
  for (const node of [...nodes.values()]) {
    enqueue(node);
    await queue.onSizeLessThan(aliveNodes);
  }
  await queue.onIdle();
  if (failure) throw failure;
  for (const node of nodes.values()) breakCycles(node, (cycle) => failCycle(cycle, graph));

  const read = totals.read({
    images: requests.length,
    requests: context.tally.requests - before.requests,
    retries: context.tally.retries - before.retries,
    durationMs: nowMs() - startedMs,
  });
  onEvent({ type: 'batch-finished', totals: read });
  return read;
}

function failCycle(cycle: readonly Node[], graph: Graph<Node>): void {
  const path = cycle.map(({ reference }) => reference.text);
  const what = `it depends on itself: ${show(path.join(' → '), 1024)}`;
  for (const node of cycle) node.error ??= new ImageError('DEPENDENCY_CYCLE', what, { path });
  for (const node of cycle) if (node.state !== 'settled') graph.settle(node);
}
