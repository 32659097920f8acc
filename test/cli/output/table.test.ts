import test from 'ava';
import fc from 'fast-check';

import { formatTable, safeJson, toSafeJson } from '../../../src/cli/output/table.ts';

test('columns are as wide as their widest cell, without blanks after the last one', (t) => {
  const rows = [
    ['ID', 'NAME', 'SIZE'],
    ['sha512-0123', 'a', '1 B'],
    ['x', 'example.com/app', '12.5 KiB'],
  ];
  t.is(
    formatTable(rows),
    'ID           NAME             SIZE\nsha512-0123  a                1 B\nx            example.com/app  12.5 KiB\n',
  );
});

test('numbers are aligned to the right', (t) => {
  t.is(
    formatTable(
      [
        ['1 B', 'x'],
        ['100 B', 'y'],
      ],
      new Set([0]),
    ),
    '  1 B  x\n100 B  y\n',
  );
});

test('without rows there is no text', (t) => {
  t.is(formatTable([]), '');
});

const obeyed = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/;

test('control and bidi characters inside strings become escapes', (t) => {
  t.is(toSafeJson({ a: '\x1b[2J\x9b\u202e\x7f' }), '{"a":"\\u001b[2J\\u009b\\u202e\\u007f"}');
  t.is(safeJson('{"é":"→"}'), '{"é":"→"}');
  t.is(safeJson('{\r\n}'), '{ \n}');
});

test('any value keeps its meaning, without control characters', (t) => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      const text = toSafeJson(value);
      return !obeyed.test(text) && JSON.stringify(JSON.parse(text)) === JSON.stringify(value);
    }),
  );
  t.pass();
});
