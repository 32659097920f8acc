/** A node of the batch's graph: what it needs, who needs it, and how far it is. */
export type GraphNode<N> = {
  readonly children: N[];
  readonly parents: N[];
  /** Children that are not settled yet. */
  pending: number;
  state: 'open' | 'done' | 'settled';
};

/**
 * The order in which nodes settle: each once it is done itself and everything it needs has settled. A node on a cycle never
 * gets there; what is left when nothing moves any more is on a cycle or above one.
 */
export type Graph<N> = {
  /** `parent` needs `child`; to say it twice changes nothing. Only while `parent` is open. */
  link(parent: N, child: N): void;
  /** The node's own work is over, all its links are known. */
  done(node: N): void;
  /** Settles a node whatever it still waits for: the way out of a cycle. */
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
 * Cycles at or below an unsettled node, each with its first node named again at the end, until the node is settled. With
 * nothing under way each unsettled node has an unsettled child, so following them must come back.
 *
 * @param onCycle - must settle all nodes of the cycle.
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
    const again = positions.get(next);
    if (again === undefined) positions.set(next, path.push(next) - 1);
    else onCycle([...path.slice(again), next]);
  }
}
