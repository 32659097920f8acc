import test from 'ava';

import { parseFields } from '../../../../src/cli/commands/image/list.ts';

test('columns come in the order they were asked for', (t) => {
  t.deepEqual(parseFields('size,name,id', '--fields'), ['size', 'name', 'id']);
});

test('an unknown column is refused, and so is a repeated or an empty one', (t) => {
  for (const text of ['colour', 'name,name', 'name,', '']) {
    t.throws(() => parseFields(text, '--fields'), { code: 'USAGE', message: /^--fields: / }, text);
  }
});
