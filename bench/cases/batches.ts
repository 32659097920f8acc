import { type Corpus, makeCorpus } from '../corpus.ts';
import type { CaseOptions, SlowCase } from '../main.ts';
import type { Measured } from '../measure.ts';
import { type Row, takeTurns } from '../take-turns.ts';

/** Two thousand signed images of 20 KB in one command. */
export async function manySmall({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const count = small ? 50 : 2_000;
  await using corpus = await makeCorpus(directory, { count, tarBytes: count * 20e3 });
  const { longshores, urls } = corpus;
  return await takeTurns(
    [
      ...longshores.map(({ label, fetch }) => ({
        who: `start-up: 1 image${label}`,
        run: () => fetch(urls.slice(0, 1)),
      })),
      ...longshores.map(({ label, fetch }) => ({ who: `longshore${label}`, run: () => counted(fetch(urls), count) })),
    ],
    turns,
  );
}

async function counted(run: Promise<Measured>, images: number): Promise<Measured> {
  return { ...(await run), facts: { images } };
}

/** Ten thousand verified images in the store, requested by name. A run with one of them measures the start-up. */
export async function nothingToDo({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const count = small ? 200 : 10_000;
  await using corpus = await makeCorpus(directory, { count, tarBytes: count * 4e3 });
  const { longshores, names, discover } = corpus;
  for (const { fetch } of longshores) await fetch(names, discover);
  return await takeTurns(
    [
      ...longshores.map(({ label, fetchMore }) => ({
        who: `start-up: 1 name${label}`,
        run: () => fetchMore(names.slice(0, 1)),
      })),
      ...longshores.map(({ label, fetchMore }) => ({ who: `${count} names${label}`, run: () => fetchMore(names) })),
    ],
    turns,
  );
}

/** Twenty signed images, 401 MB as tar, by name: all of them in a list, and only the one that needs the others. */
export async function tree({ directory, turns, small, shape }: SlowCase): Promise<readonly Row[]> {
  const tarBytes = small ? 40e6 : 401e6;
  const needs = (index: number) => below(index, 20);
  await using corpus = await makeCorpus(directory, { count: 20, tarBytes, needs, ...shape });
  return await listAgainstRoot(corpus, 'tree', ['--jobs-per-host', '8'], turns);
}

/**
 * Ten signed images, 200 MB as tar, each of which needs the next. Each request takes 50 ms, each connection has 10
 * MB/s.
 */
export async function chain({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const [count, tarBytes] = [10, small ? 40e6 : 200e6];
  const needs = (index: number) => (index + 1 < count ? [index + 1] : []);
  await using corpus = await makeCorpus(directory, { count, tarBytes, needs, delayMs: 50, rate: 10_000_000 });
  return await listAgainstRoot(corpus, 'chain', ['--jobs-per-host', '16'], turns);
}

function listAgainstRoot(
  { names, discover, longshores }: Corpus,
  kind: string,
  options: readonly string[],
  turns: CaseOptions['turns'],
): Promise<readonly Row[]> {
  const more = [...discover, ...options];
  return takeTurns(
    [
      ...longshores.map(({ label, fetch }) => ({
        who: `list of ${names.length}${label}`,
        run: () => fetch(names, more),
      })),
      ...longshores.map(({ label, fetch }) => ({
        who: `${kind} of ${names.length}${label}`,
        run: () => fetch(names.slice(0, 1), more),
      })),
    ],
    turns,
  );
}

/** Ten thousand signed images of 20 KB in 500 trees, by name. */
export async function manyTrees({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const size = 20;
  const count = size * (small ? 5 : 500);
  const needs = (index: number) => below(index, size);
  await using corpus = await makeCorpus(directory, { count, tarBytes: count * 20e3, needs });
  const { longshores, names, discover } = corpus;
  const roots = names.filter((_, index) => index % size === 0);
  return await takeTurns(
    longshores.map(({ label, fetch }) => ({ who: `longshore${label}`, run: () => fetch(roots, discover) })),
    turns,
  );
}

/** The dependencies of a position, in consecutive trees of `size` images, where each image has up to four below it. */
function below(index: number, size: number): readonly number[] {
  const at = index % size;
  return [1, 2, 3, 4]
    .map((child) => 4 * at + child)
    .filter((child) => child < size)
    .map((child) => index - at + child);
}
