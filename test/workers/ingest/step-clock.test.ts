import test from 'ava';

import { createStepClock } from '../../../workers/ingest/step-clock.ts';

/** A clock that the test moves on. */
function begin() {
  let ms = 0;
  return { clock: createStepClock(7, () => ms), pass: (more: number) => void (ms += more) };
}

test('each step has the time between its start and its end, to a hundredth', (t) => {
  const { clock, pass } = begin();
  for (const more of [1.2345, 2]) {
    const stop = clock.start('hash');
    pass(more);
    stop();
    pass(10);
  }
  t.deepEqual(clock.read(), { wait: 7, read: 0, inflate: 0, hash: 3.23, check: 0, write: 0, sync: 0 });
});

test('a step within another one counts only for itself', (t) => {
  const { clock, pass } = begin();
  const inflated = clock.start('inflate');
  pass(1);
  const waited = clock.start('read');
  pass(20);
  waited();
  pass(2);
  inflated();
  t.like(clock.read(), { read: 20, inflate: 3 });
});

test('the sum of all steps is at most the time that has passed, however they overlap', (t) => {
  const { clock, pass } = begin();
  const waited = clock.start('read');
  pass(5);
  const written = clock.start('write');
  pass(5);
  waited();
  pass(1);
  written();
  const { read, write } = clock.read();
  const sum = read + write;
  t.true(sum > 0 && sum <= 11, String(sum));
});

test('a reader counts for the time it waits, not for what it does with the pieces', async (t) => {
  const { clock, pass } = begin();
  async function* pieces() {
    for (const piece of [1, 2]) {
      pass(4);
      yield await Promise.resolve(piece);
    }
    pass(3);
  }
  for await (const piece of clock.waiting('read', pieces())) pass(100 * piece);
  t.is(clock.read().read, 11);
});
