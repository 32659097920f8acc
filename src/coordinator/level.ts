/**
 * How many transfers a host gets at the same time, and what is known of it. Plain data: each function returns the next state. The number
 * grows while that brings throughput, by doubling at first, then by one; it shrinks by a share when the host refuses, resets or gets slow.
 */
export type Level = {
  /** The most transfers at the same time. */
  readonly level: number;
  /** The level never exceeds this. */
  readonly most: number;
  /** The most transfers that the host is thought to accept; `most` until it has refused one. */
  readonly ceiling: number;
  /** A level that has brought throughput, or that the host has accepted before: growing back to it needs no proof. */
  readonly proven: number;
  readonly isDoubling: boolean;
  /** The level and the rate before the last growth, which the rate must exceed for the growth to last. */
  readonly before: { readonly level: number; readonly rate: number } | undefined;
  /** Rounds until growth is tried again, and how many it will be after the next growth that brings nothing. */
  readonly rest: number;
  readonly nextRest: number;
  /** Answers since the last refusal, and how many of them raise the ceiling. */
  readonly answers: number;
  readonly patience: number;
  /** The usual time until an answer begins, in milliseconds. */
  readonly usualMs: number | undefined;
  /** When the level was last lowered, and from what. Failures of what was asked before are a consequence of the same excess. */
  readonly loweredAtMs: number;
  readonly loweredFrom: number;
};

/** What has been observed of a host during a round. */
export type Round = {
  readonly ms: number;
  readonly bytes: number;
  readonly answers: number;
  /** The mean time until an answer began; undefined without answers. */
  readonly answerMs: number | undefined;
  /** All transfers were in use, and others waited. */
  readonly isFull: boolean;
};

/** An answer of 429 or 503, or a connection that was cut. */
export type Trouble = {
  readonly nowMs: number;
  /** When the request was sent. */
  readonly askedMs: number;
  /** How many other transfers the host had then. */
  readonly others: number;
};

/** What is remembered of a host from one run to the next. */
export type KnownLevel = { readonly level: number; readonly ceiling: number | undefined };

/** `auto` begins with this many transfers, and has at most that many. */
export const autoLevel = { first: 4, most: 16 } as const;

/** The least growth of the rate, as a share of the growth of the level, for that to last. */
const leastGain = { doubling: 0.25, adding: 0.5 };
/** While the level doubles, rounds are short. One whose answers bring less on average than this had documents: they say nothing of the rate. */
const tellingBytes = 16 * 1024;
/** What is left of a level that was too high. */
const keptShare = 0.7;
const rests = { first: 4, most: 64 };
/** The refusals that raising the ceiling costs are a small part of the answers: less than two of a hundred. */
const patience = { first: 50, afterRefusal: 100, least: 25, most: 1600 };
/** An answer is late that takes longer than twice the usual time and this. */
const lateMs = 200;
/** The lowest level for late answers: that they are late may have other reasons. */
const leastIfLate = 2;

/** @param first - the level to begin with, if nothing is known of the host */
export function beginLevel(first: number, most: number, known?: KnownLevel): Level {
  const level = Math.max(1, Math.min(most, known?.level ?? first));
  const ceiling = Math.max(level, Math.min(most, known?.ceiling ?? most));
  return {
    ...{ level, most, ceiling, proven: level, isDoubling: !known && level < most, before: undefined },
    ...{ rest: 0, nextRest: rests.first, answers: 0, usualMs: undefined },
    ...{ loweredAtMs: -Infinity, loweredFrom: level },
    patience: known?.ceiling === undefined ? patience.first : patience.afterRefusal,
  };
}

/** How long a round lasts, in milliseconds: until each transfer has had an answer, but neither shorter nor longer than this. */
export function roundMs({ isDoubling, usualMs = 0 }: Level): { readonly least: number; readonly most: number } {
  if (!isDoubling) return { least: 500, most: Math.max(1000, 4 * usualMs) };
  return { least: Math.max(50, 2 * usualMs), most: Math.max(250, 4 * usualMs) };
}

export function afterRound(state: Level, round: Round): Level {
  const seen = { ...state, answers: state.answers + round.answers };
  const rate = round.bytes / Math.max(1, round.ms);
  const { before, level } = seen;
  if (before && round.isFull) {
    const share = seen.isDoubling ? leastGain.doubling : leastGain.adding;
    if (rate >= before.rate * (1 + share * (level / before.level - 1)))
      return grow(withUsual(proved(seen), round), rate);
    if (!seen.isDoubling || round.bytes >= tellingBytes * round.answers)
      return withUsual(goBack(seen, before.level), round);
  }
  if (isLate(seen, round)) return lowerForLateness(seen, round.answerMs);
  if (before && round.isFull) return withUsual(seen, round); // a later round decides
  const next = withUsual({ ...seen, before: undefined }, round);
  return round.isFull ? grow(next, rate) : next;
}

/**
 * The host has refused a request because of the number of transfers, as it seems: it accepts the others. If these are few, the reason may
 * be another one, so one excess lowers the ceiling by half at most.
 */
export function afterRefusal(state: Level, { nowMs, askedMs, others }: Trouble): Level {
  const isSameExcess = askedMs < state.loweredAtMs;
  const loweredFrom = isSameExcess ? state.loweredFrom : state.level;
  const ceiling = Math.max(1, loweredFrom >> 1, Math.min(state.ceiling, others, loweredFrom - 1));
  const wasTried = state.before && !state.isDoubling;
  const lowered = wasTried ? state.level - 1 : Math.floor(state.level * keptShare);
  return {
    ...state,
    ...{ ceiling, proven: ceiling, isDoubling: false, before: undefined, answers: 0 },
    level: Math.max(1, Math.min(ceiling, isSameExcess ? state.level : lowered)),
    loweredAtMs: isSameExcess ? state.loweredAtMs : nowMs,
    loweredFrom,
    patience: isSameExcess
      ? state.patience
      : Math.min(patience.most, Math.max(patience.afterRefusal, 2 * state.patience)),
  };
}

/** A connection was cut before its body was complete. */
export function afterReset(state: Level, { nowMs, askedMs }: Trouble): Level {
  if (askedMs < state.loweredAtMs) return state;
  return { ...lower(state, 1), loweredAtMs: nowMs, loweredFrom: state.level };
}

/**
 * What to remember of a host; undefined if nothing was learned, so that the numbers of the user are not taken for those of the host, and
 * what was learned once is forgotten in the end.
 *
 * @param begun - the level at the beginning
 */
export function learnedOf(state: Level, begun: Level): KnownLevel | undefined {
  const [known, before] = [knownOf(state), knownOf(begun)];
  const isSame = known.level === before.level && known.ceiling === before.ceiling;
  return isSame && state.isDoubling === begun.isDoubling ? undefined : known;
}

function knownOf({ proven, ceiling, most }: Level): KnownLevel {
  return { level: Math.max(1, Math.min(proven, ceiling)), ceiling: ceiling < most ? ceiling : undefined };
}

function proved(state: Level): Level {
  const wasRaised = state.ceiling < state.most && state.level === state.ceiling;
  return {
    ...state,
    ...{ proven: state.level, before: undefined, nextRest: rests.first },
    patience: wasRaised ? Math.max(patience.least, state.patience / 2) : state.patience,
  };
}

/** The last growth brought nothing. */
function goBack(state: Level, level: number): Level {
  const { nextRest } = state;
  const rested = { rest: nextRest, nextRest: Math.min(rests.most, 2 * nextRest) };
  return { ...state, ...rested, level, proven: level, isDoubling: false, before: undefined };
}

function grow(state: Level, rate: number): Level {
  const { level, most, proven, rest, answers } = state;
  const mayRaise = state.ceiling < most && level === state.ceiling && answers >= state.patience;
  const ceiling = state.ceiling + (mayRaise ? 1 : 0);
  if (level >= ceiling) return state;
  if (level < proven) return { ...state, level: level + 1 };
  if (rest > 0) return { ...state, rest: rest - 1 };
  const larger = Math.min(ceiling, state.isDoubling ? 2 * level : level + 1);
  return {
    ...state,
    ...{ level: larger, ceiling, before: { level, rate } },
    answers: mayRaise ? 0 : answers,
  };
}

function lower(state: Level, least: number): Level {
  const level = Math.max(Math.min(least, state.level), Math.floor(state.level * keptShare));
  return { ...state, level, isDoubling: false, before: undefined };
}

function isLate({ usualMs, level }: Level, { answers, answerMs }: Round): boolean {
  if (usualMs === undefined || answerMs === undefined) return false;
  return answers >= level && answerMs > 2 * usualMs + lateMs;
}

/** What is usual follows, so that a host that has become slow for another reason is not lowered without end. */
function lowerForLateness(state: Level, answerMs = 0): Level {
  const lowered = lower(state, leastIfLate);
  return {
    ...lowered,
    proven: lowered.level,
    rest: state.nextRest,
    usualMs: Math.max(state.usualMs ?? 0, answerMs / 2),
  };
}

function withUsual(state: Level, { answerMs }: Round): Level {
  if (answerMs === undefined) return state;
  return { ...state, usualMs: Math.min(state.usualMs ?? answerMs, answerMs) };
}
