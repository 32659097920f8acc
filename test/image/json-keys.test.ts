import test from 'ava';

import { parseJsonStrict } from '../../src/image/json.ts';

test('keys that differ only in case are told apart where that is asked for', (t) => {
  const text = '{"Maintainer":1,"maintainer":2}';
  t.false(parseJsonStrict(text).ok);
  t.like(parseJsonStrict(text, { caseSensitive: true }), { value: { Maintainer: 1, maintainer: 2 } });
  t.false(parseJsonStrict('{"a":1,"a":2}', { caseSensitive: true }).ok);
});
