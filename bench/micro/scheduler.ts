import { walk } from '../../src/coordinator/walk.ts';
import { defaultLimits } from '../../src/image/limits.ts';
import type { Dependency } from '../../src/image/manifest.ts';
import { parseReference, referenceKey } from '../../src/image/reference.ts';
import type { Piece } from './piece.ts';

const count = 10_000;

/** A graph in which each node needs four others of its own and one shared one; visits resolve at once. */
export function scheduler(): readonly Piece[] {
  const needs = (index: number): readonly number[] =>
    [4 * index + 1, 4 * index + 2, 4 * index + 3, 4 * index + 4, 2 * index + 1].filter((child) => child < count);
  const found = new Map(
    Array.from({ length: count }, (_, index) => [
      nameOf(index),
      needs(index).map((child): Dependency => ({ imageName: nameOf(child), labels: new Map() })),
    ]),
  );
  const reference = parseReference(nameOf(0), { directory: '/', isFile: () => false });
  const request = { index: 0, text: nameOf(0), key: referenceKey(reference), signature: undefined, reference };
  const run = async (): Promise<void> => {
    let settled = 0;
    await walk<readonly Dependency[]>(
      [request],
      {
        limits: defaultLimits,
        failFast: false,
        nowMs: () => 0,
        visit: (node) => Promise.resolve(found.get(node.reference.text) ?? []),
        dependenciesOf: (dependencies) => dependencies,
        imageIdOf: () => undefined,
        onInvalid: () => undefined,
        onSettled: ({ error }) => {
          if (error) throw error;
          settled += 1;
        },
      },
      new AbortController().signal,
    );
    if (settled !== count) throw new Error(`${settled} nodes of ${count} settled`);
  };
  return [{ name: 'scheduler', unit: 'node', count, run }];
}

function nameOf(index: number): string {
  return `example.com/node-${index}`;
}
