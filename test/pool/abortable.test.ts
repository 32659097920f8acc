import { setImmediate as turn } from 'node:timers/promises';

import test from 'ava';

import { abortable } from '../../src/pool/abortable.ts';

test('nobody waits for work once the signal is aborted, and work that fails later ends no process', async (t) => {
  const unheard: unknown[] = [];
  const listen = (error: unknown) => unheard.push(error);
  process.on('unhandledRejection', listen);
  t.teardown(() => process.off('unhandledRejection', listen));

  for (const isAborted of [true, false]) {
    const stop = new AbortController();
    const work = Promise.withResolvers<never>();
    if (isAborted) stop.abort(new Error('enough'));
    const waiting = abortable(work.promise, stop.signal);
    stop.abort(new Error('enough'));
    await t.throwsAsync(waiting, { message: 'enough' });
    work.reject(new Error('the threads were closed'));
    await turn();
  }
  t.deepEqual(unheard, []);
});
