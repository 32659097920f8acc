import test from 'ava';

import { spreadOf } from '../../src/bench/spread.ts';

test('the median is the value in the middle, or the mean of the two there', (t) => {
  t.deepEqual(spreadOf([3, 1, 10]), { median: 3, min: 1, max: 10 });
  t.deepEqual(spreadOf([4, 1, 2, 10]), { median: 3, min: 1, max: 10 });
  t.deepEqual(spreadOf([7]), { median: 7, min: 7, max: 7 });
});
