import test from 'ava';

import { parseFields } from '../../../../src/cli/commands/image/list.ts';

test('columns are in the requested order', (t) => {
  t.deepEqual(parseFields('size,name,id', '--fields'), ['size', 'name', 'id']);
});

test('an unknown column is refused, and so is a repeated or an empty one', (t) => {
  for (const text of ['colour', 'name,name', 'name,', '']) {
    t.throws(() => parseFields(text, '--fields'), { code: 'USAGE', message: /^--fields: / }, text);
  }
});
