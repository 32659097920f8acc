import test from 'ava';
import fc from 'fast-check';

import { createOverlay } from '../../../workers/extract/plan.ts';

type Entry = { readonly path: string; readonly isDirectory: boolean };
type Tree = Map<string, string>;

/** Images from the uppermost down: what each provides, by path. */
function overlay(images: readonly (readonly Entry[])[]): Tree {
  const paths = createOverlay();
  const tree: Tree = new Map();
  for (const [index, entries] of images.entries()) {
    for (const { path, isDirectory } of entries) {
      if (paths.offer(path, isDirectory)) tree.set(path, `${isDirectory ? 'directory' : 'file'} of ${index}`);
    }
  }
  return tree;
}

/** The specification's way: the lowest first, and what comes later replaces what is there. */
function unpackOver(images: readonly (readonly Entry[])[]): Tree {
  const tree: Tree = new Map();
  const isFile = (path: string) => tree.get(path)?.startsWith('file') === true;
  for (const [index, entries] of [...images.entries()].reverse()) {
    for (const { path, isDirectory } of entries) {
      for (const parent of parentsOf(path)) if (isFile(parent)) tree.delete(parent);
      if (!isDirectory) for (const below of tree.keys()) if (below.startsWith(`${path}/`)) tree.delete(below);
      tree.set(path, `${isDirectory ? 'directory' : 'file'} of ${index}`);
    }
  }
  return tree;
}

function parentsOf(path: string): readonly string[] {
  const parts = path.split('/');
  return parts.slice(1).map((_, count) => parts.slice(0, count + 1).join('/'));
}

/** As the archive rules leave them: no path twice, nothing below a file. */
function lawful(entries: readonly Entry[]): readonly Entry[] {
  const files = new Set(entries.filter((entry) => !entry.isDirectory).map(({ path }) => path));
  const known = new Map(entries.map((entry) => [entry.path, entry]));
  return [...known.values()].filter(({ path }) => !parentsOf(path).some((parent) => files.has(parent)));
}

const path = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const image = fc.array(fc.record({ path, isDirectory: fc.boolean() }), { maxLength: 8 }).map(lawful);

test('extracting images from the top down gives the same as unpacking them from the bottom up', (t) => {
  const property = fc.property(fc.array(image, { maxLength: 4 }), (images) => {
    const [ours, theirs] = [overlay(images), unpackOver(images)];
    t.deepEqual([...ours].sort(), [...theirs].sort());
  });
  t.notThrows(() => fc.assert(property, { numRuns: 1000 }));
});
