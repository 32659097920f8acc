import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';
import * as z from 'zod';

import { checkShape, formatFault, formatFieldFault } from '../../src/image/shape.ts';

const shape = z.strictObject({
  text: z.string(),
  count: z.int().min(1).max(3),
  kind: z.enum(['one', 'two']),
  list: z.array(z.object({ flag: z.boolean() })).max(2),
  map: z.record(z.string(), z.union([z.string(), z.number()])),
  date: z.iso.datetime(),
  even: z.number().multipleOf(2),
});
const good = { text: '', count: 1, kind: 'one', list: [], map: {}, date: '2020-01-01T00:00:00Z', even: 2 };

function problem(change: object): string {
  const result = checkShape(shape, { ...good, ...change });
  return result.ok ? 'none' : formatFieldFault(result.fault);
}

test('faults are described in plain words, with the path of the member', (t) => {
  t.is(problem({}), 'none');
  t.is(problem({ text: null }), 'text: must be a string');
  t.is(problem({ text: undefined }), 'text: is missing');
  t.is(problem({ count: '1' }), 'count: must be a number');
  t.is(problem({ count: 1.5 }), 'count: must be an integer');
  t.is(problem({ count: 0 }), 'count: must be 1 or more');
  t.is(problem({ count: 4 }), 'count: must be 3 or less');
  t.is(problem({ kind: 'three' }), 'kind: must be one or two');
  t.is(problem({ list: {} }), 'list: must be a list');
  t.is(problem({ list: [{ flag: 1 }] }), 'list[0].flag: must be true or false');
  t.is(problem({ list: Array(3).fill({ flag: true }) }), 'list: is too long');
  t.is(problem({ map: { 'a.example:5000/x': null } }), 'map["a.example:5000/x"]: is of the wrong type');
  t.is(problem({ date: 'today' }), 'date: is not what it should be');
  t.is(problem({ even: 3 }), 'even: is not what it should be');
  t.is(problem({ more: 1, '\u001b': 2 }), 'has a member that does not belong there: more, \\x1b');
});

test('a fault of the whole document has no path', (t) => {
  const result = checkShape(shape, []);
  t.false(result.ok);
  if (!result.ok) t.is(formatFault(result.fault), 'the document must be an object');
});

test('messages of the validation library are never shown: its issues are read in one place', async (t) => {
  const root = join(import.meta.dirname, '../..');
  const readers: string[] = [];
  for await (const path of glob('{src,workers}/**/*.ts', { cwd: root })) {
    if (/\bissues\b/.test(await readFile(join(root, path), 'utf8'))) readers.push(path);
  }
  // The second hands on what the first has said.
  t.deepEqual(readers.toSorted(), ['src/image/manifest-schema.ts', 'src/image/shape.ts']);
});
