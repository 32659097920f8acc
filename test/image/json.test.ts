import { isDeepStrictEqual } from 'node:util';

import test from 'ava';
import fc from 'fast-check';

import { formatJsonFault, parseJsonStrict } from '../../src/image/json.ts';

function fault(source: string | Uint8Array): string {
  const result = parseJsonStrict(source);
  return result.ok ? 'none' : formatJsonFault(result.fault);
}

test('a fault is reported with line and column, counted from 1', (t) => {
  const document = '{"acKind":"ImageManifest","acVersion":"0.7.4","name":"example.com/app"}';
  t.is(fault(`${document} trailing`), 'line 1, column 73: unexpected trailing');
  t.is(fault(''), 'line 1, column 0: the text ends too early');
  t.is(fault('{\n  "a": 1,\n}'), 'line 3, column 1: a key in double quotes is expected');
  t.is(fault('{\n  "a": [1,\n'), 'line 3, column 0: the text ends too early');
  t.is(fault('{"a":'), 'line 1, column 5: the text ends too early');
  t.is(fault('{}{}'), 'line 1, column 3: something follows the value');
  t.is(fault('{"a" 1}'), 'line 1, column 6: a colon is expected');
  t.is(fault('[1 2]'), 'line 1, column 4: a comma is expected');
  t.is(fault('["a'), 'line 1, column 2: a string that does not end');
  t.is(fault('[1] // why'), 'line 1, column 5: a comment');
  t.is(fault("{'a':1}"), "line 1, column 2: unexpected 'a'");
  t.is(fault('[1.]'), 'line 1, column 2: a number without its last digits');
  t.is(fault('["\x07"]'), 'line 1, column 2: a control character in a string');
  t.is(fault('["\\x"]'), 'line 1, column 2: an unknown escape in a string');
  t.is(fault('["\\u12"]'), 'line 1, column 2: four hex digits are expected after \\u');
  t.is(fault('\x1b[2J'), 'line 1, column 1: unexpected \\x1b');
});

test('bytes are UTF-8 without a byte order mark', (t) => {
  const result = parseJsonStrict(Buffer.from('["é🐳"]'));
  t.deepEqual(result, { ok: true, value: ['é🐳'], text: '["é🐳"]' });
  t.is(fault(Buffer.from([0x22, 0xff, 0x22])), 'not UTF-8');
  t.is(fault(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), 'not UTF-8');
  t.is(fault(Buffer.from('\ufeff{}')), 'line 1, column 1: a byte order mark');
  t.is(fault('["\\ud800"]'), 'line 1, column 2: half of a surrogate pair');
  t.is(fault('{"\\udc00":1}'), 'line 1, column 2: half of a surrogate pair');
});

test('no key may occur twice in one object, not even in another case', (t) => {
  t.is(fault('{"a":1,"a":2}'), 'line 1, column 8: the key "a" is there twice');
  t.is(fault('{"name":1,"b":{},"NAME":2}'), 'line 1, column 18: the key "NAME" is there twice');
  t.is(fault('{"name":1,"n\\u0061me":2}'), 'line 1, column 11: the key "name" is there twice');
  t.is(fault('{"acKind":1,"ac\u212aind":2}'), 'line 1, column 13: the key "ac\u212aind" is there twice');
  t.is(fault('{"ports":1,"port\u017f":2}'), 'line 1, column 12: the key "port\u017f" is there twice');
  t.is(fault('{"__proto__":1,"__proto__":2}'), 'line 1, column 16: the key "__proto__" is there twice');
  t.is(fault('[{"a":1},{"a":{"a":2}},{"a":3}]'), 'none');
});

test('nesting is bounded, and a megabyte of brackets does not overflow the stack', (t) => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  t.is(fault(nested(64)), 'none');
  t.is(fault(nested(65)), 'line 1, column 65: nested deeper than 64 levels');
  t.is(fault('{"a":'.repeat(100)), 'line 1, column 321: nested deeper than 64 levels');
  t.is(fault('['.repeat(1 << 20)), 'line 1, column 65: nested deeper than 64 levels');
  const shallow = parseJsonStrict('[[[]]]', { maxDepth: 2 });
  t.false(shallow.ok);
});

test('a member called __proto__ is an ordinary member', (t) => {
  const result = parseJsonStrict('{"__proto__":{"polluted":true},"a":{"constructor":1}}');
  t.true(result.ok);
  const value = result.ok ? result.value : undefined;
  t.true(typeof value === 'object' && value !== null && Object.hasOwn(value, '__proto__'));
  t.is(Object.getPrototypeOf(value), Object.prototype);
  t.false('polluted' in {});
});

test('numbers are passed on with their text', (t) => {
  const sources: unknown[] = [];
  const revive = (_key: string, value: unknown, { source }: { source?: string }) => (sources.push(source), value);
  parseJsonStrict('[80.0, 8e1, "x"]', { revival: { hasKey: () => false, hasNumber: () => true, revive } });
  t.deepEqual(sources, ['80.0', '8e1', '"x"', undefined]);
});

test('a text is revived if one of its keys or numbers asks for it', (t) => {
  const revival = {
    hasKey: (key: string) => key === 'A',
    hasNumber: (source: string) => source.includes('.'),
    revive: (key: string, value: unknown) => (key === '' ? 'revived' : value),
  };
  const isRevived = (text: string) => t.like(parseJsonStrict(text, { revival }), { ok: true, value: 'revived' });
  isRevived('{"b": [{"A": 1}]}');
  isRevived('{"b": {"\\u0041": 1}}');
  isRevived('[[1, -1.50 ]]');
  t.like(parseJsonStrict('{"b": ["A", 1, "1.5"]}', { revival }), { ok: true, value: { b: ['A', 1, '1.5'] } });
});

test('exactly what JSON.parse accepts is accepted, except repeated keys', (t) => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"b',
    '"',
    '\\',
    'u00e9',
    '1',
    '-',
    '.',
    'e+',
    '0',
    'true',
    'null',
    ' ',
    '\n',
    '\t',
    '/',
    '*',
    '\v',
    '\u00a0',
  );
  const text = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
    fc.json(),
    fc
      .json()
      .chain((json) =>
        fc.tuple(fc.nat(json.length), piece).map(([at, extra]) => json.slice(0, at) + extra + json.slice(at)),
      ),
  );
  fc.assert(
    fc.property(text, (text) => {
      const result = parseJsonStrict(text);
      let parsed: unknown;
      try {
        parsed = JSON.parse(text);
      } catch {
        return !result.ok;
      }
      if (!result.ok) return /twice|surrogate/.test(result.fault.problem);
      return isDeepStrictEqual(result.value, parsed);
    }),
    { numRuns: 2000 },
  );
  t.pass();
});
