import test from 'ava';
import fc from 'fast-check';
import { stringify } from 'yaml';

import { type Node, readDocuments } from '../../src/lists/located.ts';

function read(text: string) {
  const faults: [number, string][] = [];
  const roots = [...readDocuments(text, (at, problem) => faults.push([at, problem]))];
  return { roots, faults };
}

/** The value without positions; scalars as they are written. */
function plain(node: Node): unknown {
  if (node.kind === 'text') return node.isNull ? null : node.text;
  if (node.kind === 'list') return node.items.map(plain);
  return Object.fromEntries([...node.entries].map(([key, value]) => [key, plain(value)]));
}

test('each value has its position, and scalars are as they are written', (t) => {
  const text = 'a:\n  - 1.0\n  - "x\\n"\nb: {c: ~, d: no}\n';
  const { roots, faults } = read(text);
  t.deepEqual(faults, []);
  t.deepEqual(roots.map(plain), [{ a: ['1.0', 'x\n'], b: { c: null, d: 'no' } }]);
  const [root] = roots;
  const list = root?.kind === 'map' ? root.entries.get('a') : undefined;
  const first = list?.kind === 'list' ? list.items[0] : undefined;
  t.is(first?.at, text.indexOf('1.0'));
});

test('empty documents are left out, wherever they stand', (t) => {
  t.deepEqual(read('---\n---\na: 1\n---\n# nothing\n---\nb: 2\n...\n---\n').roots.map(plain), [{ a: '1' }, { b: '2' }]);
  t.deepEqual(read('').roots, []);
});

test('JSON is read as well, with both of its line ends', (t) => {
  t.deepEqual(read('{\r\n\t"a": [1, "\\u00e9", null],\r\n\t"b": {}\r\n}\r\n').roots.map(plain), [
    { a: ['1', 'é', null], b: {} },
  ]);
});

test('merge keys add what a map does not have itself', (t) => {
  const { roots, faults } = read(
    'x: &x {image: a, n: 1}\ny: &y {n: 2, m: 3}\none: {<<: *x, n: 0}\ntwo: {<<: [*x, *y]}\n',
  );
  t.deepEqual(faults, []);
  const [root] = roots.map(plain) as [Record<string, unknown>];
  t.deepEqual(
    [root['one'], root['two']],
    [
      { image: 'a', n: '0' },
      { image: 'a', n: '1', m: '3' },
    ],
  );
});

test('aliases share what they name, so that anchors without end take no time', (t) => {
  const lines = ['a0: &a0 {image: x}'];
  for (let n = 1; n < 64; n += 1) lines.push(`a${n}: &a${n} [${`*a${n - 1},`.repeat(9)}]`);
  const { roots, faults } = read(lines.join('\n'));
  t.deepEqual(faults, []);
  t.is(roots.length, 1);
});

test('merge keys without end are a fault', (t) => {
  const many = Array.from({ length: 1100 }, (_, n) => `k${n}: 1`).join(', ');
  const { faults } = read(`x: &x {${many}}\n${Array.from({ length: 1000 }, (_, n) => `m${n}: {<<: *x}`).join('\n')}`);
  t.regex(faults[0]?.[1] ?? '', /more than 1000000 entries/);
});

for (const [what, text, at, problem] of [
  ['a key that is there twice', 'a: 1\nb: 2\na: 3', 10, /the key "a" is there twice/],
  ['a tab', 'a:\n\tb: 1', 3, /tab characters/],
  ['an alias of nothing', 'a: *b', 4, /\*b names nothing/],
  ['an alias of what holds it', '&a [*a]', 5, /\*a names nothing that stands before it/],
  ['a template', 'image: {{ .Values.image }}:1', 26, /template that is still open/],
  ['broken syntax', 'a: "b', 5, /^no YAML: unexpected end of the stream/],
  ['too many levels', '['.repeat(200), 99, /nesting/],
] as const) {
  test(`${what} is a fault with its position`, (t) => {
    const { faults } = read(text);
    t.is(faults.length, 1, JSON.stringify(faults));
    t.regex(faults[0]?.[1] ?? '', problem);
    t.is(faults[0]?.[0], at);
  });
}

test('a fault does not show the text, which may have a password', (t) => {
  const { faults } = read('password: "secret\nuser: a');
  t.notRegex(JSON.stringify(faults), /secret/);
});

test('what another program wrote is read as it was meant', (t) => {
  const key = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 5 }).filter((text) => text !== '<<');
  const value = fc.letrec((tie) => ({
    node: fc.oneof({ maxDepth: 4 }, tie('text'), tie('list'), tie('map')),
    text: fc.string({ unit: 'grapheme', maxLength: 8 }),
    list: fc.array(tie('node'), { maxLength: 4 }),
    map: fc.dictionary(key, tie('node'), { maxKeys: 4, noNullPrototype: true }),
  })).map;
  fc.assert(
    fc.property(value, (value) => {
      const json = JSON.stringify(value);
      const expected: unknown = JSON.parse(json);
      for (const text of [json, stringify(expected), JSON.stringify(expected, undefined, 2)]) {
        const { roots, faults } = read(text);
        if (faults.length > 0 || JSON.stringify(roots.map(plain)) !== JSON.stringify([expected])) return false;
      }
      return true;
    }),
  );
  t.pass();
});

test('what is missing stands where its key does, or the list around it', (t) => {
  const [root] = [
    ...readDocuments('a: 1\nbb:\nc:\n  dd:\n  e:\n    -\n    - 1\n', (at, problem) => t.fail(`${at}: ${problem}`)),
  ];
  const at = (node: Node | undefined, key: string) => (node?.kind === 'map' ? node.entries.get(key) : undefined);
  t.is(at(root, 'bb')?.at, 5);
  t.is(at(at(root, 'c'), 'dd')?.at, 14);
  const list = at(at(root, 'c'), 'e');
  t.deepEqual(list?.kind === 'list' && list.items.map(({ at }) => at), [27, 35]);
});
