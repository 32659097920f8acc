/** A node of the batch's graph. It depends on its children. */
export type GraphNode<N> = {
  readonly children: N[];
  readonly parents: N[];
  /** Children that are not settled yet. */
  pending: number;
  state: 'open' | 'done' | 'settled';
};

/**
 * Settles nodes: each one when it is done and all its children have settled. A node on a cycle, or above one, does not settle by
 * itself.
 */
export type Graph<N> = {
  /** Makes `child` a child of `parent`, once. Must be called while `parent` is open. */
  link(parent: N, child: N): void;
  /** Called when the work of the node itself is over and it has all its children. */
  done(node: N): void;
  /** Settles a node with unsettled children, to break a cycle. */
  settle(node: N): void;
};

/** @param onSettled - called once for each node, children before parents. */
export function createGraph<N extends GraphNode<N>>(onSettled: (node: N) => void): Graph<N> {
  const settle = (first: N): void => {
    const ready = [first];
    for (let node = ready.pop(); node; node = ready.pop()) {
      node.state = 'settled';
      onSettled(node);
      for (const parent of node.parents) {
        parent.pending -= 1;
        if (parent.pending === 0 && parent.state === 'done') ready.push(parent);
      }
    }
  };

  return {
    settle,
    link(parent, child) {
      if (parent.children.includes(child)) return;
      parent.children.push(child);
      if (child.state === 'settled') return;
      child.parents.push(parent);
      parent.pending += 1;
    },
    done(node) {
      node.state = 'done';
      if (node.pending === 0) settle(node);
    },
  };
}

/**
 * Finds the cycles at or below an unsettled node, until that node is settled. It must be called when all nodes are done: then each
 * unsettled node has an unsettled child, so a path of unsettled children reaches one of its own nodes again.
 *
 * @param onCycle - called with each cycle, whose first node is also its last. It must settle all nodes of the cycle.
 */
export function breakCycles<N extends GraphNode<N>>(start: N, onCycle: (cycle: readonly N[]) => void): void {
  const path = [start];
  const positions = new Map([[start, 0]]);
  for (let node = path.at(-1); node; node = path.at(-1)) {
    if (node.state === 'settled') {
      path.pop();
      positions.delete(node);
      continue;
    }
    const next = node.children.find((child) => child.state !== 'settled');
    if (!next) throw new Error('an unsettled node has no unsettled child');
    const position = positions.get(next);
    if (position === undefined) positions.set(next, path.push(next) - 1);
    else onCycle([...path.slice(position), next]);
  }
}
