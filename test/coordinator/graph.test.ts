import test from 'ava';
import fc from 'fast-check';

import { createGraph, findCycle, type GraphNode } from '../../src/coordinator/graph.ts';

interface Named extends GraphNode<Named> {
  readonly name: number;
}

const named = (name: number): Named => ({ name, children: [], parents: [], pending: 0, state: 'open' });

test('a node settles once it and everything it needs is done, whatever the order', (t) => {
  const settled: number[] = [];
  const graph = createGraph<Named>(({ name }) => settled.push(name));
  const [root, left, right, shared] = [named(0), named(1), named(2), named(3)];
  graph.link(root, left);
  graph.link(root, right);
  graph.done(root);
  graph.link(left, shared);
  graph.link(right, shared);
  graph.done(right);
  graph.done(shared);
  t.deepEqual(settled, [3, 2]);
  graph.done(left);
  t.deepEqual(settled, [3, 2, 1, 0]);
});

test('a link to a node that is settled already does not hold its parent up', (t) => {
  const settled: number[] = [];
  const graph = createGraph<Named>(({ name }) => settled.push(name));
  const [root, child] = [named(0), named(1)];
  graph.done(child);
  graph.link(root, child);
  graph.link(root, child);
  graph.done(root);
  t.deepEqual(settled, [1, 0]);
});

test('a node that needs itself is a cycle of one', (t) => {
  const graph = createGraph<Named>(() => t.fail('a cycle must not settle by itself'));
  const node = named(7);
  graph.link(node, node);
  graph.done(node);
  t.deepEqual(
    findCycle(node).map(({ name }) => name),
    [7, 7],
  );
});

test('in any graph, children settle before parents, and exactly the nodes on or above a cycle are left', (t) => {
  const edges = fc.array(fc.tuple(fc.nat(9), fc.nat(9)), { maxLength: 25 });
  const order = fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], { minLength: 10 });
  fc.assert(
    fc.property(edges, order, (pairs, sequence) => {
      const nodes = sequence.map((_, index) => named(index));
      const settled: number[] = [];
      const graph = createGraph<Named>(({ name }) => settled.push(name));
      for (const name of sequence) {
        for (const [parent, child] of pairs) {
          const [from, to] = [nodes[parent], nodes[child]];
          if (parent === name && from && to) graph.link(from, to);
        }
        const node = nodes[name];
        if (node) graph.done(node);
      }
      const left = nodes.filter(({ state }) => state !== 'settled').map(({ name }) => name);
      t.deepEqual(left.sort(), stuck(pairs).sort());
      for (const [parent, child] of pairs) {
        if (settled.includes(parent)) t.true(settled.indexOf(child) < settled.indexOf(parent));
      }
    }),
    { numRuns: 300 },
  );
});

/** By definition: what is left when nodes without unfinished children are taken away until nothing changes. */
function stuck(pairs: readonly (readonly [number, number])[]): number[] {
  let left = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
  for (let size = -1; size !== left.length;) {
    size = left.length;
    left = left.filter((name) => pairs.some(([parent, child]) => parent === name && left.includes(child)));
  }
  return left;
}
