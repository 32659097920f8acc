import test from 'ava';
import fc from 'fast-check';

import { safeJson, toSafeJson } from '../../../src/cli/image/json-text.ts';

const obeyed = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/;

test('control and bidi characters inside strings become escapes', (t) => {
  t.is(toSafeJson({ a: '\x1b[2J\x9b\u202e\x7f' }), '{"a":"\\u001b[2J\\u009b\\u202e\\u007f"}');
  t.is(safeJson('{"é":"→"}'), '{"é":"→"}');
  t.is(safeJson('{\r\n}'), '{ \n}');
});

test('any value keeps its meaning and holds nothing a terminal obeys', (t) => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      const text = toSafeJson(value);
      return !obeyed.test(text) && JSON.stringify(JSON.parse(text)) === JSON.stringify(value);
    }),
  );
  t.pass();
});
