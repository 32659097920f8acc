import test from 'ava';
import fc from 'fast-check';

import { classifyPace, type Paced, slowBelow } from '../../src/coordinator/pace.ts';

const maxUncounted = { all: 64, host: 24 };
const asked = { ended: [1e6, 1e6, 1e6], othersWait: true, newcomers: 0, maxUncounted };

const transfer = (rate: number | undefined, more: Partial<Paced> = {}): Paced => ({
  ...{ host: 'a:1', isSlow: false, counts: true, rate, wasWaitedFor: true, mayGiveUp: true },
  ...more,
});

test('a transfer below a tenth of the median rate is slow, but only while others wait', (t) => {
  const [slow, decent, new_] = [transfer(99_000), transfer(101_000), transfer(undefined)];
  t.deepEqual(classifyPace([slow, decent, new_], asked), { slow: [slow], decent: [decent], givingUp: [] });
  t.deepEqual(classifyPace([slow], { ...asked, othersWait: false }).slow, []);
});

test('a transfer that waited for something else than its server is not slow, and a slow one may recover', (t) => {
  const heldUp = transfer(10, { wasWaitedFor: false });
  const again = transfer(900_000, { isSlow: true, counts: false });
  const still = transfer(10, { isSlow: true, counts: false });
  t.deepEqual(classifyPace([heldUp, again, still], asked), { slow: [], decent: [heldUp, again], givingUp: [] });
});

test('before any transfer has ended, less than 64 KiB in 5 s is slow; later, less than 1 KiB a second', (t) => {
  t.is(slowBelow([10, 20, 30], false), (64 * 1024) / 5);
  t.is(slowBelow([10, 20, 30], true), 1024);
  t.is(slowBelow([], false), (64 * 1024) / 5);
  t.is(slowBelow([1e6, 2e6, 3e6], false), 2e5);
});

test('if there are too many slow transfers, the slowest of those that may give up do so', (t) => {
  const slow = [3, 1, 2, 0].map((rate) => transfer(rate, { host: `${rate}` }));
  const unconnected = transfer(0, { host: 'x', mayGiveUp: false });
  const { givingUp } = classifyPace([...slow, unconnected], { ...asked, maxUncounted: { all: 3, host: 24 } });
  t.deepEqual(
    givingUp.map(({ rate }) => rate),
    [0, 1],
  );
  const ofOne = [3, 1, 2, 0].map((rate) => transfer(rate));
  const byHost = classifyPace([...ofOne, transfer(0, { host: 'b' })], { ...asked, maxUncounted: { all: 64, host: 3 } });
  t.deepEqual(
    byHost.givingUp.map(({ host, rate }) => [host, rate]),
    [['a:1', 0]],
  );
});

const waiting = { ended: [], othersWait: true, newcomers: 0, maxUncounted: { all: 5, host: 3 } };

test('of a host with too many slow transfers one gives up, and the slower one of another host then need not', (t) => {
  const waitsForOthers = (host: string) => transfer(undefined, { host, counts: false, wasWaitedFor: false });
  const many = Array.from({ length: 3 }, () => waitsForOthers('a:1'));
  const [ofMany, slowest] = [transfer(2, { counts: false }), transfer(1, { host: 'b:1', counts: false })];
  t.deepEqual(classifyPace([...many, waitsForOthers('b:1'), ofMany, slowest], waiting).givingUp, [ofMany]);
});

test('a slow transfer that goes on counting, since its host has too many that do not, makes room for others', (t) => {
  const many = Array.from({ length: 4 }, () => transfer(undefined, { counts: false, wasWaitedFor: false }));
  const [counting, other] = [transfer(2, { mayGiveUp: false }), transfer(1, { host: 'b:1', counts: false })];
  const { slow, givingUp } = classifyPace([...many, counting, other], waiting);
  t.deepEqual([slow, givingUp], [[other], []]);
});

test('no transfer that is fast enough gives up, no more give up than necessary, and no slow one is decent', (t) => {
  const paced = fc
    .record({
      host: fc.constantFrom('a:1', 'b:1', undefined),
      isSlow: fc.boolean(),
      counts: fc.boolean(),
      rate: fc.option(fc.double({ min: 0, max: 2e6, noNaN: true }), { nil: undefined }),
      wasWaitedFor: fc.boolean(),
      mayGiveUp: fc.boolean(),
    })
    .map((one) => ({ ...one, counts: one.counts && !one.isSlow })); // what was found slow no longer counts
  const questions = fc.record({
    ended: fc.array(fc.nat(2_000_000), { maxLength: 5 }),
    othersWait: fc.boolean(),
    newcomers: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.array(paced, { maxLength: 40 }), questions, (transfers, question) => {
      const few = { all: 5, host: 3 };
      const { slow, decent, givingUp } = classifyPace(transfers, { ...question, maxUncounted: few });
      t.false(slow.some((one) => decent.includes(one)));
      t.false(givingUp.some((one) => decent.includes(one) || !one.mayGiveUp));
      if (!question.othersWait) t.is(slow.length + givingUp.length, 0);
      const before = transfers.filter((one) => !one.counts && !decent.includes(one));
      const after = [...before, ...slow.filter(({ counts }) => counts)].filter((one) => !givingUp.includes(one));
      t.true(after.length <= Math.max(few.all, before.length), 'there are never more of them than there may be');
      for (const one of givingUp) {
        const ofHost = after.filter(({ host }) => host === one.host).length;
        t.true(after.length + question.newcomers >= few.all || ofHost >= few.host, 'room is made, and no more');
      }
    }),
    { numRuns: 2000 },
  );
});
