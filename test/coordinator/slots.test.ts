import { setImmediate as turn } from 'node:timers/promises';

import test from 'ava';

import { createSlots } from '../../src/coordinator/slots.ts';
import type { Slots } from '../../src/fetchers/context.ts';

const never = new AbortController().signal;

/** Jobs that count how many of them are under way, for each host and in all, until they are let go. */
function counting() {
  const open = Promise.withResolvers<void>();
  const now = new Map<string, number>();
  const most = new Map<string, number>();
  const change = (name: string, by: number) => {
    const count = (now.get(name) ?? 0) + by;
    now.set(name, count);
    most.set(name, Math.max(most.get(name) ?? 0, count));
  };
  const job = (host: string) => async () => {
    for (const name of [host, 'all']) change(name, 1);
    await open.promise;
    await turn();
    for (const name of [host, 'all']) change(name, -1);
  };
  return { job, most, now, release: () => open.resolve() };
}

/** Lets hosts show that they answer, without which each has one slot only. */
async function prove(slots: Slots, ...hosts: readonly string[]): Promise<void> {
  for (const host of hosts) await slots.run(host, never, (slot) => Promise.resolve(slot.onAnswer()));
}

test('neither a host nor the batch runs more transfers than its limit', async (t) => {
  const slots = createSlots({ jobs: 5, jobsPerHost: 2 });
  const { job, most, release } = counting();
  const hosts = ['a:1', 'b:1', 'c:1', 'd:1'];
  await prove(slots, ...hosts);
  const jobs = hosts.flatMap((host) => Array.from({ length: 6 }, () => slots.run(host, never, job(host))));
  await turn();
  release();
  await Promise.all(jobs);
  t.deepEqual(Object.fromEntries(most), { 'a:1': 2, 'b:1': 2, 'c:1': 2, all: 5, 'd:1': 2 });
});

test('transfers of an idle host do not wait behind those of a busy one', async (t) => {
  const slots = createSlots({ jobs: 3, jobsPerHost: 2 });
  const { job, now, release } = counting();
  await prove(slots, 'busy:1', 'idle:1');
  const busy = Array.from({ length: 50 }, () => slots.run('busy:1', never, job('busy')));
  const idle = slots.run('idle:1', never, job('idle'));
  await turn();
  t.deepEqual(Object.fromEntries(now), { busy: 2, all: 3, idle: 1 });
  release();
  await Promise.all([...busy, idle]);
});

test('a local file uses a slot of the batch only', async (t) => {
  const slots = createSlots({ jobs: 2, jobsPerHost: 1 });
  t.is(await slots.run(undefined, never, () => Promise.resolve('read')), 'read');
});

test('a waiting transfer rejects with the reason of its aborted signal, and a failed one gives its slot back', async (t) => {
  const slots = createSlots({ jobs: 1, jobsPerHost: 1 });
  const stop = new AbortController();
  const begun = Promise.withResolvers<void>();
  const first = slots.run('a:1', stop.signal, async () => {
    begun.resolve();
    await turn();
    throw new Error('broken');
  });
  const second = slots.run('a:1', stop.signal, () => Promise.resolve());
  await begun.promise;
  stop.abort(new Error('enough'));
  const reasons = (await Promise.allSettled([first, second])).map((result) =>
    result.status === 'rejected' ? String(result.reason) : 'fulfilled',
  );
  t.deepEqual(reasons, ['Error: broken', 'Error: enough']);
  t.is(await slots.run('a:1', never, () => Promise.resolve(1)), 1);
});

test('an image that has arrived gives its slot back, for up to as many images as there are jobs', async (t) => {
  const slots = createSlots({ jobs: 2, jobsPerHost: 2 });
  await prove(slots, 'a:1');
  const begun: number[] = [];
  const open = Promise.withResolvers<void>();
  const jobs = [0, 1, 2, 3, 4, 5].map((index) =>
    slots.run('a:1', never, async (slot) => {
      begun.push(index);
      slot.arrived();
      slot.arrived();
      await open.promise;
      return index;
    }),
  );
  await turn();
  t.deepEqual(begun, [0, 1, 2, 3], 'two that have arrived, two that keep their places');
  open.resolve();
  t.deepEqual(await Promise.all(jobs), [0, 1, 2, 3, 4, 5]);
});

test('a job that fails after it has arrived still rejects', async (t) => {
  const slots = createSlots({ jobs: 1, jobsPerHost: 1 });
  const failing = slots.run('a:1', never, async (slot) => {
    slot.arrived();
    await turn();
    throw new Error('bad archive');
  });
  await t.throwsAsync(failing, { message: 'bad archive' });
  t.is(await slots.run('a:1', never, () => Promise.resolve(1)), 1);
});

test('prefetches have half of the slots, and come after the other transfers of their host', async (t) => {
  const slots = createSlots({ jobs: 4, jobsPerHost: 3 });
  const { job, now, release } = counting();
  const ahead = slots.prefetch(new Promise(() => undefined));
  const order: string[] = [];
  const early = ['a', 'b', 'c', 'd'].map((host) => ahead.run(`${host}:1`, never, job(host)));
  await turn();
  t.deepEqual(Object.fromEntries(now), { a: 1, all: 2, b: 1 });
  const others = ['e', 'f'].map((host) => slots.run(`${host}:1`, never, job(host)));
  await turn();
  t.is(now.get('all'), 4);
  release();
  await Promise.all([...early, ...others]);

  const busy = createSlots({ jobs: 2, jobsPerHost: 1 });
  const first = counting();
  const holding = busy.run('a:1', never, first.job('a'));
  const mark = (name: string) => () => Promise.resolve(void order.push(name));
  const last = busy.prefetch(new Promise(() => undefined)).run('a:1', never, mark('ahead'));
  await turn(); // it waits at its host
  const second = busy.run('a:1', never, mark('second'));
  first.release();
  await Promise.all([holding, last, second]);
  t.deepEqual(order, ['second', 'ahead']);
});

test('a promoted prefetch gets the usual priority wherever it waits, and runs once', async (t) => {
  const slots = createSlots({ jobs: 2, jobsPerHost: 1 });
  const { job, release } = counting();
  const confirmed = Promise.withResolvers<void>();
  const order: string[] = [];
  const mark = (name: string) => () => Promise.resolve(void order.push(name));
  const other = slots.prefetch(new Promise(() => undefined)).run('b:1', never, job('b'));
  const first = slots.run('a:1', never, job('a'));
  const early = slots.prefetch(confirmed.promise).run('a:1', never, mark('early')); // has no place yet
  await turn();
  confirmed.resolve();
  await turn();
  const late = slots.run('a:1', never, mark('late'));
  release();
  await Promise.all([other, first, early, late]);
  t.deepEqual(order, ['early', 'late']);
});

test('a prefetch that is aborted while it waits at its host gives its prefetch slot back', async (t) => {
  const slots = createSlots({ jobs: 2, jobsPerHost: 1 });
  const { job, release } = counting();
  const ahead = slots.prefetch(new Promise(() => undefined));
  const busy = slots.run('busy:1', never, job('busy'));
  const stop = new AbortController();
  const dropped = [0, 1].map(() => ahead.run('busy:1', stop.signal, job('dropped'))); // the second has no place yet
  await turn();
  stop.abort(new Error('nothing asks for it any more'));
  const late = ahead.run('busy:1', stop.signal, job('late'));
  t.is(await Promise.race([ahead.run('idle:1', never, () => Promise.resolve('begun')), turn('waits')]), 'begun');
  release();
  await busy;
  const results = await Promise.allSettled([...dropped, late]);
  t.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  );
});

test('the first requests of images come after those of images that have begun, in the order in which they were made', async (t) => {
  const slots = createSlots({ jobs: 1, jobsPerHost: 1 });
  const order: string[] = [];
  const note = (name: string) => () => Promise.resolve(void order.push(name));
  await prove(slots, 'a:1');
  const hold = Promise.withResolvers<void>();
  const holding = slots.run('a:1', never, () => hold.promise);
  const waiting = [
    slots.runFirst('a:1', never, note('first of one')),
    slots.runFirst('a:1', never, note('first of another')),
    slots.run('a:1', never, note('next of a third')),
    slots.prefetch(new Promise(() => undefined)).run('a:1', never, note('prefetch')),
  ];
  await turn();
  hold.resolve();
  await Promise.all([holding, ...waiting]);
  t.deepEqual(order, ['next of a third', 'first of one', 'first of another', 'prefetch']);
});
