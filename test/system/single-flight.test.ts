import { setImmediate as turn } from 'node:timers/promises';

import test from 'ava';

import { abortable, sideBySide, singleFlight } from '../../src/system/single-flight.ts';

const signal = AbortSignal.timeout(600_000);

test('work with several callers runs once, and its result is kept', async (t) => {
  let times = 0;
  const get = singleFlight(() => Promise.resolve((times += 1)));
  t.deepEqual(await Promise.all([get(signal), get(signal)]), [1, 1]);
  t.is(await get(signal), 1);
});

test('failed work fails for all its callers, and runs again for the next', async (t) => {
  let times = 0;
  const get = singleFlight(() => ((times += 1) === 1 ? Promise.reject(new Error('first')) : Promise.resolve(times)));
  const both = await Promise.allSettled([get(signal), get(signal)]);
  t.deepEqual(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  t.is(await get(signal), 2);
});

test('an abort of one caller does not stop the work for the others; an abort of the last one does', async (t) => {
  const stopped: AbortSignal[] = [];
  const { promise, resolve } = Promise.withResolvers<string>();
  const get = singleFlight((given) => {
    stopped.push(given);
    return promise;
  });
  const [a, b] = [new AbortController(), new AbortController()];
  const [first, second] = [get(a.signal), get(b.signal)];
  a.abort(new Error('a'));
  await t.throwsAsync(first, { message: 'a' });
  t.false(stopped[0]?.aborted);
  b.abort(new Error('b'));
  await t.throwsAsync(second, { message: 'b' });
  t.true(stopped[0]?.aborted);

  const third = get(signal);
  t.is(stopped.length, 2);
  resolve('done');
  t.is(await third, 'done');
  await t.throwsAsync(get(a.signal), { message: 'a' });
});

test('the work is aborted also if all callers abort at the same time', async (t) => {
  const calledOff = new AbortController();
  const stopped: AbortSignal[] = [];
  const get = singleFlight((given) => {
    stopped.push(given);
    return Promise.withResolvers<string>().promise;
  });
  const both = Promise.allSettled([get(calledOff.signal), get(calledOff.signal)]);
  calledOff.abort(new Error('enough'));
  await both;
  t.deepEqual(
    stopped.map(({ reason }) => reason as unknown),
    [calledOff.signal.reason],
  );
});

test('a caller does not wait after its abort, and a later failure of the work is not an unhandled rejection', async (t) => {
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

test('work side by side: a failure aborts the rest, and is thrown when all of it has ended', async (t) => {
  const ended: string[] = [];
  const work = async (name: string, signal: AbortSignal): Promise<string> => {
    if (name === 'bad') throw new Error('bad');
    if (name === 'slow') await new Promise((resolve) => signal.addEventListener('abort', resolve));
    await Promise.resolve();
    ended.push(name);
    return name;
  };
  const { signal } = new AbortController();
  t.deepEqual(await sideBySide(['a', 'b'], work, signal), ['a', 'b']);
  await t.throwsAsync(sideBySide(['slow', 'bad'], work, signal), { message: 'bad' });
  t.deepEqual(ended, ['a', 'b', 'slow']);
});
