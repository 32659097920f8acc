import { setImmediate as turn } from 'node:timers/promises';

import test from 'ava';

import type { PaceClock } from '../../src/coordinator/host-queues.ts';
import { createSlots } from '../../src/coordinator/slots.ts';
import type { Slot, Slots } from '../../src/fetchers/context.ts';

const never = new AbortController().signal;

/** A clock that stands until it is told how many seconds pass; what is to happen in each comes first. */
function standingClock() {
  let nowMs = 0;
  const looks = new Set<() => void>();
  const clock: PaceClock = {
    nowMs: () => nowMs,
    sleep: () => Promise.reject(new Error('no host asks to wait')),
    every(_, look) {
      looks.add(look);
      return () => looks.delete(look);
    },
  };
  const pass = async (seconds: number, eachSecond: () => void = () => undefined): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) {
      nowMs += 1000;
      eachSecond();
      for (const look of looks) look();
      await turn();
    }
  };
  return { clock, pass, looks };
}

/** A transfer that runs until it is told to end, or gives up its connection and goes on once it has a slot again. */
function transfer(slots: Slots, host: string, answers = true) {
  const over = Promise.withResolvers<void>();
  const state = { begun: 0, gaveUp: 0, slot: undefined as Slot | undefined };
  const done = slots.run(host, never, async (slot) => {
    state.slot = slot;
    for (let isOver = false; !isOver;) {
      state.begun += 1;
      const gaveUp = Promise.withResolvers<void>();
      const end = slot.onConnection(gaveUp.resolve);
      slot.onWaiting(true);
      if (answers) slot.onAnswer();
      isOver = await Promise.race([over.promise.then(() => true), gaveUp.promise.then(() => false)]);
      end();
      if (isOver) return;
      state.gaveUp += 1;
      await slot.pause(() => Promise.resolve());
    }
  });
  return { state, done, end: over.resolve, bring: (bytes: number) => state.slot?.onBytes(bytes) };
}

const begun = (all: readonly { readonly state: { readonly begun: number } }[]) =>
  all.filter(({ state }) => state.begun > 0).length;

async function end(...all: readonly ReturnType<typeof transfer>[]): Promise<void> {
  for (const one of all) one.end();
  await Promise.all(all.map(({ done }) => done));
}

async function prove(slots: Slots, ...hosts: readonly string[]): Promise<void> {
  for (const host of hosts) await slots.run(host, never, (slot) => Promise.resolve(slot.onAnswer()));
}

test('a transfer that waits for a retry has no slot, and then comes before those that have not begun', async (t) => {
  const slots = createSlots({ jobs: 1, jobsPerHost: 1 });
  await prove(slots, 'a:1');
  const wait = Promise.withResolvers<void>();
  const order: string[] = [];
  const retrying = slots.run('a:1', never, async (slot) => {
    await slot.pause(() => wait.promise);
    order.push('again');
  });
  const others = ['first', 'second', 'third'].map((name) =>
    slots.run('a:1', never, async () => {
      order.push(name);
      if (name === 'first') wait.resolve();
      await turn();
    }),
  );
  await Promise.all([retrying, ...others]);
  t.deepEqual(order, ['first', 'again', 'second', 'third']);
});

test('a slow transfer no longer counts after 5 s, also at its host, and counts again when it recovers', async (t) => {
  const { clock, pass } = standingClock();
  const slots = createSlots({ jobs: 1, jobsPerHost: 1, clock });
  await prove(slots, 'a:1');
  const drip = transfer(slots, 'a:1');
  await turn();
  const others = [transfer(slots, 'a:1'), transfer(slots, 'a:1')];
  await pass(4, () => drip.bring(1));
  t.is(begun(others), 0);
  await pass(1, () => drip.bring(1));
  t.is(begun(others), 1);
  await pass(6, () => [drip, ...others].forEach(({ bring }) => bring(1_000_000)));
  await end(...others.slice(0, 1));
  await turn();
  t.is(begun(others), 1, 'the one that recovered has the slot now');
  await end(drip);
  await turn();
  t.is(begun(others), 2);
  await end(...others);
});

test('no transfer is slow while none waits', async (t) => {
  const { clock, pass, looks } = standingClock();
  const slots = createSlots({ jobs: 1, jobsPerHost: 1, clock });
  await prove(slots, 'a:1');
  const drip = transfer(slots, 'a:1');
  await pass(20, () => drip.bring(1));
  const other = transfer(slots, 'a:1');
  await turn();
  t.is(begun([other]), 0);
  await end(drip, other);
  t.is(looks.size, 0, 'and nobody looks when nothing is under way');
});

test('silent hosts with ten images each use one slot each, and none of the jobs', async (t) => {
  const { clock, pass } = standingClock();
  const slots = createSlots({ jobs: 16, jobsPerHost: 6, clock });
  await prove(slots, 'good:1');
  const silent = Array.from({ length: 50 }, (_, host) =>
    Array.from({ length: 10 }, () => transfer(slots, `silent-${host}:1`, false)),
  );
  const good = Array.from({ length: 6 }, () => transfer(slots, 'good:1'));
  await turn();
  t.is(begun(good), 6);
  await pass(30);
  t.true(silent.every((ofHost) => begun(ofHost) === 1));
  await end(...good);
  await end(...silent.flat());
});

test('hosts that answer but send very slowly use no slots of faster ones', async (t) => {
  const { clock, pass } = standingClock();
  const slots = createSlots({ jobs: 4, jobsPerHost: 2, clock });
  const drips = Array.from({ length: 12 }, (_, host) => [0, 1, 2].map(() => transfer(slots, `drip-${host}:1`)));
  const good = Array.from({ length: 50 }, () => transfer(slots, 'good:1'));
  let ended = 0;
  for (let second = 0; second < 40; second += 1) {
    await pass(1, () => drips.flat().forEach(({ bring }) => bring(10)));
    for (const one of good) {
      if (one.state.begun === 0 || one.state.slot === undefined) continue;
      one.bring(100_000);
      one.end();
    }
    await turn();
    ended = begun(good);
  }
  t.is(ended, 50, 'two a second: as many as one host may have');
  await end(...drips.flat());
});

test('with more than four slow transfers for each job, the slowest gives up, goes to the end of the queue, and is resumed in the end', async (t) => {
  const { clock, pass } = standingClock();
  const slots = createSlots({ jobs: 1, jobsPerHost: 1, clock });
  const hosts = Array.from({ length: 6 }, (_, host) => `${host}:1`);
  await prove(slots, ...hosts);
  const drips = hosts.map((host) => transfer(slots, host));
  await pass(25, () => drips.forEach(({ bring }, at) => bring(at)));
  t.is(begun(drips), 5, 'four that do not count, one that does');
  await pass(5, () => drips.forEach(({ bring }, at) => bring(at)));
  t.deepEqual(
    drips.map(({ state }) => state.gaveUp),
    [1, 0, 0, 0, 0, 0],
  );
  t.is(begun(drips), 6);
  await end(...drips.slice(1));
  await turn();
  t.is(drips[0]?.state.begun, 2);
  await end(...drips.slice(0, 1));
});

test('a transfer that is paused by a slow sink is not slow', async (t) => {
  const { clock, pass } = standingClock();
  const slots = createSlots({ jobs: 1, jobsPerHost: 1, clock });
  await prove(slots, 'a:1');
  const busy = transfer(slots, 'a:1');
  await turn();
  busy.state.slot?.onWaiting(false);
  const other = transfer(slots, 'a:1');
  await pass(20);
  t.is(begun([other]), 0);
  await end(busy, other);
});

test('hosts alternate: one with many images does not delay the others', async (t) => {
  const slots = createSlots({ jobs: 2, jobsPerHost: 2 });
  const names = ['many:1', 'b:1', 'c:1'];
  await prove(slots, ...names);
  const order: string[] = [];
  const work = (host: string) => async () => {
    order.push(host);
    await turn();
  };
  const many = Array.from({ length: 20 }, () => slots.run('many:1', never, work('many')));
  const few = ['b', 'c'].flatMap((host) => [0, 1].map(() => slots.run(`${host}:1`, never, work(host))));
  await Promise.all([...many, ...few]);
  const last = Math.max(order.lastIndexOf('b'), order.lastIndexOf('c'));
  t.true(last < 12, order.join(' '));
});
