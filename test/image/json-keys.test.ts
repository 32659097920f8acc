import test from 'ava';

import { parseJsonStrict } from '../../src/image/json.ts';

test('keys that differ only in case are distinct where that is requested', (t) => {
  const text = '{"Maintainer":1,"maintainer":2}';
  t.false(parseJsonStrict(text).ok);
  t.like(parseJsonStrict(text, { caseSensitive: true }), { value: { Maintainer: 1, maintainer: 2 } });
  t.false(parseJsonStrict('{"a":1,"a":2}', { caseSensitive: true }).ok);
});

test('keys that are data are distinct in any case, only in the objects where they are data', (t) => {
  const dataOf = ['labels'];
  const taken = (text: string) => parseJsonStrict(text, { dataOf }).ok;
  t.true(taken('{"labels":{"Name":"x","name":"y"},"b":1}'));
  t.true(taken('{"LABELS":{"Name":"x","name":"y"}}'));
  t.false(taken('{"labels":{"Name":"x","Name":"y"}}'));
  t.false(taken('{"labels":{"Name":"x"},"Labels":{}}'));
  t.false(taken('{"labels":{"a":{"Name":"x","name":"y"}}}'));
  t.false(taken('{"labels":[{"Name":"x","name":"y"}]}'));
  t.false(taken('{"labels":1,"b":[{"Name":"x","name":"y"}]}'));
});
