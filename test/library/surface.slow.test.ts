import test from 'ava';

import { type Member, membersOf, readSurface } from '../helpers/surface.ts';

const surface = readSurface('src/index.ts');

test('the package exports these values, and no others', (t) => {
  t.deepEqual(
    surface.filter(({ isType }) => !isType).map(({ name }) => name),
    [
      'ImageError',
      'createApps',
      'createFetcher',
      'createFinder',
      'createPusher',
      'hasCode',
      'isImageError',
      'openKeystore',
      'openPolicy',
      'openPool',
      'openStore',
    ],
  );
});

test('every type that an export names is exported', (t) => {
  const missing = surface.flatMap(({ name, uses }) =>
    uses.filter((used) => used.endsWith('(not exported)')).map((used) => `${name}: ${used}`),
  );
  t.deepEqual(missing, []);
});

test('every export, and every member of one, has a docstring', (t) => {
  const missing = surface.flatMap((exported) => [
    ...(exported.doc === '' ? [exported.name] : []),
    ...exported.variants.flatMap((members) =>
      undocumented(members, exported.doc).map((name) => `${exported.name}.${name}`),
    ),
  ]);
  t.deepEqual(missing, []);
});

/** Members without a docstring. That of their type, or of what tells the parts of a union apart, may speak of them too. */
function undocumented(members: readonly Member[], above: string): readonly string[] {
  const beside = members.filter(({ name }) => ['type', 'kind', 'status'].includes(name)).map(({ doc }) => doc);
  const speaks = (name: string): boolean => [above, ...beside].some((doc) => doc.includes(`\`${name}\``));
  const lacking = members.filter(({ name, doc }) => doc === '' && !speaks(name));
  const below = members.flatMap(({ name, doc, members: inner }) =>
    undocumented(inner, doc).map((inside) => `${name}.${inside}`),
  );
  return [...lacking.map(({ name }) => name), ...below];
}

test('no docstring refers to a paper that the package does not have', (t) => {
  const docs = surface.flatMap((exported) =>
    [exported, ...membersOf(exported)].map(({ name, doc }) => ({ name, doc })),
  );
  const papers = docs.flatMap(({ name, doc }) =>
    (doc.match(/[\w/.-]+\.md/g) ?? []).map((paper) => `${name}: ${paper}`),
  );
  t.deepEqual(
    papers.filter((paper) => !/: (docs\/rules\.md|spec\/\w+\.md)$/.test(paper)),
    [],
  );
});
