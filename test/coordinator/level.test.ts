import test from 'ava';
import fc from 'fast-check';

import {
  afterRefusal,
  afterReset,
  afterRound,
  autoLevel,
  beginLevel,
  learnedOf,
  type Level,
  type Round,
  roundMs,
} from '../../src/coordinator/level.ts';

type Host = {
  /** The most requests that it accepts at a time. */
  readonly accepts: number;
  /** The rate of one connection and of all together, in bytes a millisecond. */
  readonly perConnection: number;
  readonly together: number;
  readonly answerMs: number;
};

const rateOf = ({ perConnection, together }: Host, connections: number): number =>
  Math.min(together, perConnection * connections);

/**
 * Simulates transfers of `bytes` that are asked for whenever there is a slot, in steps of a few milliseconds. What is over the number that
 * the host accepts is refused, and asked for again.
 */
function simulate(host: Host, begun: Level, { bytes, lastMs }: { readonly bytes: number; readonly lastMs: number }) {
  const stepMs = 5;
  let state = begun;
  let active: { askedMs: number; left: number; hasAnswer: boolean }[] = [];
  let round = { beganMs: 0, bytes: 0, answers: 0 };
  const levels: { readonly atMs: number; readonly level: number }[] = [];
  const requests: { readonly atMs: number; readonly isRefused: boolean }[] = [];
  for (let nowMs = 0; nowMs < lastMs; nowMs += stepMs) {
    while (active.length < state.level) {
      const isRefused = active.length >= host.accepts;
      requests.push({ atMs: nowMs, isRefused });
      if (isRefused) {
        state = afterRefusal(state, { nowMs, askedMs: nowMs, others: active.length });
        round = { beganMs: nowMs, bytes: 0, answers: 0 };
      } else active.push({ askedMs: nowMs, left: bytes, hasAnswer: false });
    }
    const sending = active.filter(({ askedMs }) => nowMs - askedMs >= host.answerMs);
    if (nowMs < host.answerMs) round.beganMs = nowMs; // measured from the first byte of all
    const each = (rateOf(host, sending.length) * stepMs) / Math.max(1, sending.length);
    for (const one of sending) {
      if (!one.hasAnswer) round.answers += 1;
      one.hasAnswer = true;
      round.bytes += Math.min(one.left, each);
      one.left -= each;
    }
    active = active.filter(({ left }) => left > 0);
    const ms = nowMs - round.beganMs;
    const { least, most } = roundMs(state);
    if (ms >= least && (ms >= most || round.answers >= state.level)) {
      const answerMs = round.answers > 0 ? host.answerMs : undefined;
      state = afterRound(state, { ms, bytes: round.bytes, answers: round.answers, answerMs, isFull: true });
      round = { beganMs: nowMs, bytes: 0, answers: 0 };
    }
    levels.push({ atMs: nowMs, level: state.level });
  }
  const after = (fromMs: number) => requests.filter(({ atMs }) => atMs >= fromMs);
  return { state, levels, after };
}

const auto = () => beginLevel(autoLevel.first, autoLevel.most);

test('where each connection is limited, the level is sixteen within half a second', (t) => {
  const host = { accepts: Infinity, perConnection: 10_000, together: Infinity, answerMs: 50 };
  const { levels } = simulate(host, auto(), { bytes: 12e6, lastMs: 3000 });
  const reached = levels.find(({ level }) => level === 16)?.atMs ?? Infinity;
  t.true(reached <= 500, `${reached} ms`);
  t.is(levels.at(-1)?.level, 16);
});

test('where more connections bring nothing, the level stays near four', (t) => {
  const host = { accepts: Infinity, perConnection: 1e6, together: 50_000, answerMs: 20 };
  const { levels } = simulate(host, auto(), { bytes: 5e6, lastMs: 60_000 });
  const later = levels.filter(({ atMs }) => atMs > 1000).map(({ level }) => level);
  t.true(Math.max(...later) <= 6, `${Math.max(...later)}`);
});

for (const accepts of [1, 2, 3, 8, 20]) {
  for (const [bytes, what] of [
    [20_000, 'small'],
    [2e6, 'large'],
  ] as const) {
    test(`a host that accepts ${accepts} at a time gets as many, one more or one less, of ${what} files`, (t) => {
      const host = { accepts, perConnection: 2000, together: Infinity, answerMs: 50 };
      const begun = accepts > autoLevel.most ? beginLevel(24, 24) : auto();
      const { levels, after } = simulate(host, begun, { bytes, lastMs: 300_000 });
      const settled = levels.filter(({ atMs }) => atMs >= 30_000).map(({ level }) => level);
      t.true(Math.min(...settled) >= accepts - 1, `at least ${Math.min(...settled)}`);
      t.true(Math.max(...settled) <= accepts + 1, `at most ${Math.max(...settled)}`);
      const later = after(30_000);
      const refused = later.filter(({ isRefused }) => isRefused).length;
      t.true(refused <= 0.02 * later.length, `${refused} of ${later.length} refused`);
    });
  }
}

test('whatever a host accepts, and however fast it is, it gets at most one more, and refuses few', (t) => {
  fc.assert(
    fc.property(
      fc.record({
        accepts: fc.integer({ min: 1, max: 16 }),
        perConnection: fc.integer({ min: 100, max: 100_000 }),
        together: fc.integer({ min: 10_000, max: 1_000_000 }),
        answerMs: fc.integer({ min: 5, max: 400 }),
      }),
      fc.integer({ min: 1000, max: 2_000_000 }),
      (host, bytes) => {
        const { levels, after } = simulate(host, auto(), { bytes, lastMs: 90_000 });
        const highest = Math.max(...levels.filter(({ atMs }) => atMs >= 30_000).map(({ level }) => level));
        const later = after(30_000);
        const refused = later.filter(({ isRefused }) => isRefused).length;
        return highest <= host.accepts + 1 && refused <= Math.max(1, 0.02 * later.length);
      },
    ),
    { numRuns: 25 },
  );
  t.pass();
});

test('a host that accepts more after a while gets more', (t) => {
  const few = { accepts: 2, perConnection: 2000, together: Infinity, answerMs: 50 };
  const { state } = simulate(few, auto(), { bytes: 20_000, lastMs: 30_000 });
  t.true(state.level <= 3);
  const more = simulate(
    { ...few, accepts: Infinity },
    { ...state, loweredAtMs: 0 },
    { bytes: 20_000, lastMs: 120_000 },
  );
  t.true(more.state.level >= 12, `${more.state.level}`);
});

const round = (change: Partial<Round> = {}): Round => ({
  ...{ ms: 1000, bytes: 1e6, answers: 20, answerMs: 50, isFull: true },
  ...change,
});

test('while the level doubles, a round of small documents takes no growth back: a later one decides', (t) => {
  const small = { ms: 60, answers: 8 };
  const doubled = afterRound(auto(), round({ ...small, bytes: 12_000 }));
  t.is(doubled.level, 8);
  const afterDocuments = afterRound(doubled, round({ ...small, bytes: 9000 }));
  t.is(afterDocuments.level, 8, 'it does not grow by them either');
  t.is(afterRound(afterDocuments, round({ ...small, bytes: 3e6 })).level, 16);
  t.is(
    afterRound(afterDocuments, round({ ...small, bytes: 9000, answers: 0 })).level,
    4,
    'without answers it is no better than before',
  );
  t.is(
    afterRound(afterDocuments, round({ ...small, bytes: 9000, answerMs: 5000 })).level,
    5,
    'late answers count all the same',
  );
  const layers = afterRound(auto(), round({ ...small, bytes: 3e6 }));
  t.is(afterRound(layers, round({ ...small, bytes: 3e6 })).level, 4, 'of layers it brings nothing');
});

test('answers that take much longer than before lower the level, but not below two, and not without end', (t) => {
  let state: Level = { ...beginLevel(8, 8), usualMs: 50 };
  state = afterRound(state, round({ answerMs: 290 }));
  t.is(state.level, 8, 'some delay is usual');
  state = afterRound(state, round({ answerMs: 2000 }));
  t.is(state.level, 5);
  for (let count = 0; count < 20; count += 1) state = afterRound(state, round({ answerMs: 2000, isFull: false }));
  t.is(state.level, 5, 'they are usual now');
  for (let ms = 10_000; ms < 1e7; ms *= 10) state = afterRound(state, round({ answerMs: ms }));
  t.is(state.level, 2);
});

test('refusals and resets of what was asked before the level was lowered do not lower it again', (t) => {
  const refused = afterRefusal(beginLevel(16, 16), { nowMs: 100, askedMs: 10, others: 15 });
  t.is(refused.level, 11);
  t.is(afterRefusal(refused, { nowMs: 101, askedMs: 10, others: 14 }).level, 11);
  t.is(
    afterRefusal(refused, { nowMs: 101, askedMs: 10, others: 8 }).level,
    8,
    'but more than are accepted is too many',
  );
  const reset = afterReset(beginLevel(16, 16), { nowMs: 100, askedMs: 10, others: 15 });
  t.is(reset.level, 11);
  t.is(afterReset(reset, { nowMs: 101, askedMs: 10, others: 14 }).level, 11);
  t.is(afterReset(reset, { nowMs: 201, askedMs: 150, others: 9 }).level, 7);
  t.is(afterRound(reset, round()).level, 12, 'and it grows back without proof');
});

test('a number is where the level begins, and at most so many', (t) => {
  t.is(beginLevel(6, 6).level, 6);
  let state = beginLevel(6, 6);
  for (let count = 0; count < 50; count += 1) state = afterRound(state, round({ bytes: 1e6 * 2 ** count }));
  t.is(state.level, 6);
});

test('what is remembered of a host is where the next run begins', (t) => {
  const host = { accepts: 8, perConnection: 2000, together: Infinity, answerMs: 50 };
  const { state } = simulate(host, auto(), { bytes: 20_000, lastMs: 30_000 });
  const known = learnedOf(state, auto());
  t.like(known, { level: 8, ceiling: 8 });
  const again = simulate(host, beginLevel(autoLevel.first, autoLevel.most, known), { bytes: 20_000, lastMs: 600 });
  t.true(again.after(0).every(({ isRefused }) => !isRefused));
  t.is(learnedOf(auto(), auto()), undefined, 'nothing is known of a host that has shown nothing');
});

test('what a user has limited was not found of the host, and what has not changed is not found anew', (t) => {
  for (const known of [undefined, { level: 12, ceiling: 13 }]) {
    for (const most of [1, 2, 40]) {
      const begun = beginLevel(most, most, known);
      t.is(learnedOf(afterRound(begun, round()), begun), undefined, `${most} at most`);
    }
  }
  const one = beginLevel(1, 1);
  const late = afterRound(afterRound(one, round({ answerMs: 10 })), round({ answerMs: 5000 }));
  t.is(learnedOf(late, one), undefined, 'one at a time, and late');
  const refusing = beginLevel(autoLevel.first, autoLevel.most, { level: 1, ceiling: 1 });
  t.is(learnedOf(afterRound(refusing, round()), refusing), undefined, 'or an hour would never be over');
});

const observation = fc.oneof(
  fc.record({
    kind: fc.constant('round' as const),
    ms: fc.nat({ max: 5000 }),
    bytes: fc.nat({ max: 1e9 }),
    answers: fc.nat({ max: 2000 }),
    answerMs: fc.option(fc.double({ min: 0, max: 1e6, noNaN: true }), { nil: undefined }),
    isFull: fc.boolean(),
  }),
  fc.record({
    kind: fc.constantFrom('refusal' as const, 'reset' as const),
    agoMs: fc.nat({ max: 1000 }),
    others: fc.integer({ min: 1, max: 64 }),
  }),
);

test('the level is a whole number between one and the most, never grows in trouble, and by no more than double in a round', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 64 }),
      fc.integer({ min: 1, max: 64 }),
      fc.option(
        fc.record({
          level: fc.integer({ min: 1, max: 1000 }),
          ceiling: fc.option(fc.integer({ min: 1, max: 1000 }), { nil: undefined }),
        }),
        {
          nil: undefined,
        },
      ),
      fc.array(observation, { maxLength: 200 }),
      (first, most, known, observations) => {
        let state = beginLevel(first, most, known);
        let nowMs = 0;
        for (const one of observations) {
          const before = state.level;
          if (one.kind === 'round') {
            nowMs += one.ms;
            state = afterRound(state, one);
            if (state.level > 2 * before) return false;
          } else {
            const trouble = { nowMs: (nowMs += 1), askedMs: nowMs - one.agoMs, others: one.others };
            state = one.kind === 'refusal' ? afterRefusal(state, trouble) : afterReset(state, trouble);
            if (state.level > before) return false;
          }
          const isSound = Number.isInteger(state.level) && state.level >= 1 && state.level <= most;
          if (!isSound || state.ceiling > most || state.level > state.ceiling) return false;
        }
        return true;
      },
    ),
    { numRuns: 300 },
  );
  t.pass();
});
