import test from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { createBudget } from '../../../workers/convert/tree.ts';
import { convertLimits } from './layers.ts';

test('the memory for all paths together is bounded', (t) => {
  const budget = createBudget(convertLimits);
  const mebibyte = 1024 * 1024;
  for (let count = 0; count < 64; count++) budget.addText(mebibyte);
  const error = t.throws(() => budget.addText(1));
  t.true(hasCode(error, 'LIMIT_EXCEEDED'));
  if (hasCode(error, 'LIMIT_EXCEEDED')) t.deepEqual(error.details, { limit: 'paths', maximum: 64 * mebibyte });
});
