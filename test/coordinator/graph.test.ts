import test from 'ava';
import fc from 'fast-check';

import { breakCycles, createGraph, type Graph, type GraphNode } from '../../src/coordinator/graph.ts';

interface Named extends GraphNode<Named> {
  readonly name: number;
}

const named = (name: number): Named => ({ name, children: [], parents: [], pending: 0, state: 'open' });

test('a node settles when it and all its children are done, in any order', (t) => {
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

test('a link to a settled node does not delay its parent', (t) => {
  const settled: number[] = [];
  const graph = createGraph<Named>(({ name }) => settled.push(name));
  const [root, child] = [named(0), named(1)];
  graph.done(child);
  graph.link(root, child);
  graph.link(root, child);
  graph.done(root);
  t.deepEqual(settled, [1, 0]);
});

/** Breaks all cycles at or below a node. @returns the names on each, in the order they were found */
function cyclesOf(graph: Graph<Named>, start: Named): number[][] {
  const cycles: number[][] = [];
  breakCycles(start, (cycle) => {
    cycles.push(cycle.map(({ name }) => name));
    for (const node of cycle) if (node.state !== 'settled') graph.settle(node);
  });
  return cycles;
}

test('a node that depends on itself is a cycle of one', (t) => {
  const settled: number[] = [];
  const graph = createGraph<Named>(({ name }) => settled.push(name));
  const node = named(7);
  graph.link(node, node);
  graph.done(node);
  t.deepEqual(settled, []);
  t.deepEqual(cyclesOf(graph, node), [[7, 7]]);
  t.deepEqual(settled, [7]);
});

test('many connected cycles are broken without walking from the start each time', (t) => {
  let settled = 0;
  const graph = createGraph<Named>(() => (settled += 1));
  const nodes = Array.from({ length: 50_000 }, (_, name) => named(name));
  for (const [at, node] of nodes.entries()) {
    const [before, after] = [nodes[at - 1], nodes[at + 1]];
    if (after) graph.link(node, after);
    if (before) graph.link(node, before);
    graph.done(node);
  }
  const [first] = nodes;
  if (!first) return t.fail();
  const before = process.threadCpuUsage();
  const cycles = cyclesOf(graph, first);
  t.is(settled, nodes.length);
  t.true(cycles.length >= 25_000 - 1);
  t.true(process.threadCpuUsage(before).user < 5e6, 'seconds of this thread, whatever else the machine does');
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
      for (const cycle of nodes.flatMap((node) => cyclesOf(graph, node))) {
        for (const [at, name] of cycle.slice(1).entries()) {
          t.true(pairs.some(([parent, child]) => parent === cycle[at] && child === name));
        }
      }
      t.deepEqual([...settled].sort(), [...nodes.keys()], 'each once, cycles or not');
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
