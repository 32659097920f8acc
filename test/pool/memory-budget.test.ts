import { MessageChannel } from 'node:worker_threads';

import test, { type ExecutionContext } from 'ava';

import { createMemoryBudget } from '../../src/pool/memory-budget.ts';
import { type Arrival, createMemoryClient } from '../../workers/memory.ts';

const alive = setInterval(() => undefined, 1_000_000); // the ports keep no process
test.after.always(() => clearInterval(alive));

const never: Promise<never> = Promise.withResolvers<never>().promise;

/** A budget of 100 bytes, and threads that share it. */
function openBudget(t: ExecutionContext) {
  const budget = createMemoryBudget(100);
  const thread = () => {
    const { port1, port2 } = new MessageChannel();
    budget.serve(port2);
    t.teardown(() => port1.close());
    return { port: port1, ...createMemoryClient(() => port1) };
  };
  return { budget, thread };
}

/** What has been settled so far, by name. */
function watch() {
  const settled: string[] = [];
  return {
    settled,
    follow: <T>(name: string, work: Promise<T>): Promise<T> => {
      work.then(
        () => settled.push(name),
        () => settled.push(`${name} failed`),
      );
      return work;
    },
  };
}

/** One that is asked for last, and answered at once, tells that all before it have been heard. */
async function heard({ memoryFor }: ReturnType<ReturnType<typeof openBudget>['thread']>): Promise<void> {
  const stopped = Promise.reject(new Error('stop'));
  stopped.catch(() => undefined);
  const share = await memoryFor({ whole: () => stopped, stopped: never })
    .reserve(0)
    .catch(() => undefined);
  share?.[Symbol.dispose]();
}

test('threads share one budget, and waiting requests are served in order', async (t) => {
  const { thread } = openBudget(t);
  const [one, two] = [thread(), thread()];
  const first = await one.memory.reserve(60);
  const { settled, follow } = watch();
  const large = follow('large', two.memory.reserve(80));
  await heard(two);
  const small = follow('small', one.memory.reserve(20));
  await heard(one);
  t.deepEqual(settled, [], 'the small one does not pass the large one by');
  first[Symbol.dispose]();
  (await large)[Symbol.dispose]();
  (await small)[Symbol.dispose]();
  t.deepEqual(settled.toSorted(), ['large', 'small']);
  (await two.memory.reserve(100))[Symbol.dispose]();
});

test('the shares and requests of a thread are given back when it ends', async (t) => {
  const { thread } = openBudget(t);
  const [one, two, three] = [thread(), thread(), thread()];
  await one.memory.reserve(100);
  void two.memory.reserve(100);
  await heard(two);
  const waiting = three.memory.reserve(50);
  await heard(three);
  two.port.close();
  one.port.close();
  t.truthy(await waiting);
});

test('slow input gets at most half of the budget, and waits for more once it is whole', async (t) => {
  const { thread } = openBudget(t);
  const slow = thread();
  const whole = Promise.withResolvers<undefined>();
  const arrival: Arrival = { whole: () => whole.promise, stopped: never };
  const first = await slow.memoryFor(arrival).reserve(40);
  const { settled, follow } = watch();
  const second = follow('second', slow.memoryFor(arrival).reserve(40));
  await heard(slow);
  t.deepEqual(settled, []);
  (await thread().memory.reserve(60))[Symbol.dispose]();
  whole.resolve(undefined);
  (await second)[Symbol.dispose]();
  first[Symbol.dispose]();
});

test('a task that is stopped while it waits ends at once, and gives back a share that it is granted', async (t) => {
  const { thread } = openBudget(t);
  const one = thread();
  const held = await one.memory.reserve(100);
  const stop = Promise.withResolvers<never>();
  const waiting = one.memoryFor({ whole: () => Promise.resolve(), stopped: stop.promise }).reserve(60);
  await heard(one);
  stop.reject(new Error('told to stop'));
  await t.throwsAsync(waiting, { message: 'told to stop' });
  held[Symbol.dispose]();
  (await one.memory.reserve(100))[Symbol.dispose]();
});
