import { setImmediate as turn } from 'node:timers/promises';

import test from 'ava';

import { createPrefetcher, type Requester, type VisitHooks } from '../../src/coordinator/prefetch.ts';
import type { Dependency } from '../../src/image/manifest.ts';

type Visited = {
  readonly early: VisitHooks;
  readonly signal: AbortSignal;
  readonly end: PromiseWithResolvers<string[]>;
};

const dependencies = (names: readonly string[]): Dependency[] =>
  names.map((name) => ({ imageName: `example.com/${name}`, labels: new Map() }));
const keyOf = (name: string) => `name:["example.com/${name}"]`;
const many = (prefix: string, count: number) => Array.from({ length: count }, (_, at) => `${prefix}${at}`);

/** Visits that the test ends, below the requests `roots`. */
function begin(...roots: string[]) {
  const visits = new Map<string, Visited>();
  const nodes = new Map<string, { readonly state: 'open' | 'done' }>(
    roots.map((name) => [keyOf(name), { state: 'open' }]),
  );
  const ahead = createPrefetcher<string[]>({
    visit(request, early, signal) {
      const end = Promise.withResolvers<string[]>();
      signal.addEventListener('abort', () => end.reject(signal.reason));
      const name = request.reference.text.replace('example.com/', '');
      visits.set(name, { early, signal, end });
      return end.promise;
    },
    dependenciesOf: dependencies,
    nowMs: () => 0,
    nodes,
    signal: new AbortController().signal,
  });
  const root = (name: string): Requester => ({ key: keyOf(name), depth: 0, root: keyOf(name) });
  const visit = (name: string): Visited => {
    const found = visits.get(name);
    if (!found) throw new Error(`${name} was not visited`);
    return found;
  };
  const alive = () => [...visits].filter(([, { signal }]) => !signal.aborted).map(([name]) => name);
  return {
    ahead,
    nodes,
    root,
    visit,
    alive,
    wish: (name: string, needs: string[]) => ahead.request(root(name), dependencies(needs)),
  };
}

test('there are at most 16 prefetches for a request and 64 for the batch; the rest follow when these are claimed', (t) => {
  const { ahead, wish, alive } = begin('a', 'b', 'c', 'd', 'e');
  wish('a', many('a', 256));
  t.deepEqual(alive(), many('a', 16));
  for (const name of ['b', 'c', 'd', 'e']) wish(name, many(name, 20));
  t.is(alive().length, 64);
  t.false(alive().includes('e0'));
  t.truthy(ahead.claim(keyOf('a0')));
  t.true(alive().includes('a16'));
  ahead.release(keyOf('a'));
  t.true(alive().includes('e0') && !alive().includes('a16'));
  t.false(alive().includes('a17'));
  t.is(alive().length, 65, 'with the one that was taken');
});

test('prefetches of deeper levels count for their request', (t) => {
  const { wish, visit, alive } = begin('a');
  wish('a', ['a0']);
  for (let at = 0; at < 15; at++) visit(`a${at}`).early.onDependencies(dependencies([`a${at + 1}`]));
  visit('a15').early.onDependencies(dependencies(['a16']));
  t.deepEqual(alive(), many('a', 16));
});

test('a prefetch with two requesters is aborted when both are released, and so are two that only ask for each other', (t) => {
  const { ahead, wish, visit, alive } = begin('a', 'b');
  wish('a', ['x']);
  wish('b', ['x', 'other']);
  visit('x').early.onDependencies(dependencies(['y']));
  visit('y').early.onDependencies(dependencies(['x']));
  ahead.release(keyOf('a'));
  t.deepEqual(alive(), ['x', 'other', 'y']);
  ahead.release(keyOf('b'));
  t.deepEqual(alive(), []);
});

test('a running prefetch can get another requester when there is no room for new ones', (t) => {
  const { ahead, wish, visit, alive } = begin('a', 'b');
  wish('a', ['x']);
  wish('b', [...many('b', 20), 'x']);
  const { signal } = visit('x');
  ahead.release(keyOf('a'));
  t.false(signal.aborted);
  t.true(alive().includes('x'));
});

test('a claimed prefetch is not aborted, nor are its own prefetches, until it has its nodes', (t) => {
  const { ahead, nodes, wish, visit, alive } = begin('a');
  wish('a', ['x']);
  visit('x').early.onDependencies(dependencies(['y']));
  t.truthy(ahead.claim(keyOf('x')));
  nodes.set(keyOf('x'), { state: 'open' });
  ahead.release(keyOf('a'));
  t.deepEqual(alive(), ['x', 'y']);
  ahead.release(keyOf('x'));
  t.deepEqual(alive(), ['x']);
  t.is(ahead.claim(keyOf('x')), undefined);
});

test('a prefetch that succeeds prefetches its dependencies; one that fails drops its own', async (t) => {
  const { ahead, wish, visit, alive } = begin('a');
  wish('a', ['good', 'bad']);
  visit('bad').early.onDependencies(dependencies(['below']));
  visit('good').end.resolve(['next']);
  visit('bad').end.reject(new Error('not there'));
  await turn();
  t.deepEqual(alive(), ['good', 'bad', 'next']);
  await t.throwsAsync(ahead.claim(keyOf('bad'))?.result ?? Promise.resolve(), { message: 'not there' });
});

test('a request of a released requester, or for an existing node, does not begin a prefetch', (t) => {
  const { ahead, nodes, wish, visit, alive } = begin('a', 'b');
  wish('a', ['x', 'b', 'a']);
  t.deepEqual(alive(), ['x']);
  ahead.release(keyOf('a'));
  visit('x').early.onDependencies(dependencies(['y']));
  nodes.set(keyOf('a'), { state: 'done' });
  wish('a', ['z']);
  t.deepEqual(alive(), []);
});

test('the end waits for aborted prefetches, and promotion for the node', async (t) => {
  const { ahead, wish, visit } = begin('a');
  wish('a', ['x', 'y']);
  let isConfirmed = false;
  void visit('x').early.promoted?.then(() => (isConfirmed = true));
  const taken = ahead.claim(keyOf('x'));
  await turn();
  t.false(isConfirmed);
  taken?.promote();
  await turn();
  t.true(isConfirmed);
  visit('x').end.resolve([]);
  let hasEnded = false;
  const ended = ahead.ended().then(() => (hasEnded = true));
  await turn();
  t.false(hasEnded);
  ahead.release(keyOf('a'));
  await ended;
  t.true(visit('y').signal.aborted);
});
