import PQueue from 'p-queue';

import { show } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import {
  afterRefusal,
  afterReset,
  afterRound,
  beginLevel,
  type KnownLevel,
  learnedOf,
  type Level,
  roundMs,
  type Trouble,
} from './level.ts';

const debug = debugLog('coordinator');

/** Gives a slot back. A second call has no effect. */
export type Release = () => void;

/** Waits for a slot of a queue. @returns gives the slot back */
export async function takeSlot(queue: PQueue, priority: number): Promise<Release> {
  const begun = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const occupy = (): Promise<void> => {
    begun.resolve();
    return released.promise;
  };
  void queue.add(occupy, { priority });
  await begun.promise;
  return released.resolve;
}

/** `good`: the host has sent data fast enough. `answers`: it has answered, but has not yet sent data, or was too slow lately. */
type Standing = 'good' | 'answers';

/** Time, passed in so that a test controls it. */
export type PaceClock = {
  readonly nowMs: () => number;
  /** Calls `look` every `ms`, until the returned function is called. */
  readonly every: (ms: number, look: () => void) => () => void;
  /** Rejects when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
};

export type HostQueuesOptions = {
  /** The level to begin with, and the highest. */
  readonly first: number;
  readonly most: number;
  readonly clock: PaceClock;
  /** What an earlier run has learned of a host. */
  readonly knownLevel: (host: string) => KnownLevel | undefined;
};

/** One request, from when it is sent. */
export type Sent = {
  readonly atMs: number;
  /** The number of requests that the host had then, with this one. */
  readonly inFlight: number;
};

/**
 * A queue for each host that has jobs, and the standing and level of each host. The standing is undefined for a host that has not answered
 * yet.
 */
type HostQueues = {
  /** Waits for a slot at a host, while it asks to wait too. A host that has not answered yet has one slot. An abort ends that wait only. */
  slot(host: string, priority: number, signal: AbortSignal): Promise<Release>;
  standing(host: string): Standing | undefined;
  setStanding(host: string, standing: Standing): void;
  /** The number of slots of a host that are in use. */
  used(host: string): number;
  /** Whether any job waits for a slot. */
  hasWaiting(): boolean;

  /** Called when a request is sent, and when all of its answer has come or it has failed. */
  sent(host: string): Sent;
  over(host: string): void;
  /** Called with what comes from a host; the level follows. */
  noteAnswer(host: string, sent: Sent): void;
  noteBytes(host: string, bytes: number): void;
  noteCut(host: string, sent: Sent): void;
  /**
   * Called when a request was refused.
   *
   * @param refusedAtMs - when the same transfer was refused before.
   * @returns whether the reason seems to be the number of requests, and fewer are sent now
   */
  noteRefusal(host: string, sent: Sent, refusedAtMs: number | undefined): boolean;
  /** The host is not asked for so long. */
  pause(host: string, ms: number): void;
  /** What has been learned of hosts. */
  learned(): ReadonlyMap<string, KnownLevel>;
};

type HostState = {
  standing: Standing | undefined;
  level: Level;
  begun: Level;
  inFlight: number;
  pausedUntilMs: number;
  /** When a request last had a good answer, by the number of requests at that time. */
  readonly acceptedMs: number[];
  round: { beganMs: number; bytes: number; answers: number; answersMs: number };
};

export function createHostQueues({ first, most, clock, knownLevel }: HostQueuesOptions): HostQueues {
  const queues = new Map<string, { readonly queue: PQueue; jobs: number }>();
  const states = new Map<string, HostState>();

  const stateOf = (name: string): HostState => {
    const known = states.get(name);
    if (known) return known;
    const level = beginLevel(first, most);
    const state: HostState = {
      ...{ standing: undefined, level, begun: level },
      ...{ inFlight: 0, pausedUntilMs: -Infinity, acceptedMs: [], round: newRound() },
    };
    states.set(name, state);
    return state;
  };

  const newRound = () => ({ beganMs: clock.nowMs(), bytes: 0, answers: 0, answersMs: 0 });

  const concurrencyOf = ({ standing, level }: HostState): number => (standing === undefined ? 1 : level.level);

  const setLevel = (name: string, state: HostState, level: Level): void => {
    const before = state.level;
    state.level = level;
    if (level.level === before.level) return;
    debug(() => `${show(name)}: ${level.level} transfers at a time, after ${before.level}`);
    state.round = newRound();
    const queue = queues.get(name)?.queue;
    if (queue) queue.concurrency = concurrencyOf(state);
  };

  /** Ends the round, if it has lasted long enough. */
  const look = (name: string, state: HostState): void => {
    const { round, level } = state;
    const ms = clock.nowMs() - round.beganMs;
    const { least, most } = roundMs(level);
    if (ms < least || (ms < most && round.answers < level.level)) return;
    const queue = queues.get(name)?.queue;
    const isFull = queue !== undefined && queue.size > 0 && queue.pending >= concurrencyOf(state);
    const { bytes, answers, answersMs } = round;
    const answerMs = answers > 0 ? answersMs / answers : undefined;
    state.round = newRound();
    setLevel(name, state, afterRound(level, { ms, bytes, answers, answerMs, isFull }));
  };

  const troubleOf = ({ inFlight }: HostState, { atMs }: Sent): Trouble => ({
    nowMs: clock.nowMs(),
    askedMs: atMs,
    others: inFlight,
  });

  const waitWhilePaused = async (name: string, signal: AbortSignal): Promise<void> => {
    for (;;) {
      const ms = stateOf(name).pausedUntilMs - clock.nowMs();
      if (ms <= 0 || signal.aborted) return;
      await clock.sleep(ms, signal).catch(() => undefined);
    }
  };

  return {
    async slot(name, priority, signal) {
      const concurrency = concurrencyOf(stateOf(name));
      const host = queues.get(name) ?? { queue: new PQueue({ concurrency }), jobs: 0 };
      queues.set(name, host);
      host.jobs += 1;
      const release = await takeSlot(host.queue, priority);
      await waitWhilePaused(name, signal); // with its slot, so that those behind it wait too
      let isOver = false;
      return () => {
        if (isOver) return;
        isOver = true;
        release();
        host.jobs -= 1;
        if (host.jobs === 0) queues.delete(name);
      };
    },
    standing: (name) => states.get(name)?.standing,
    setStanding(name, standing) {
      const state = stateOf(name);
      if (state.standing === standing) return;
      if (state.standing === undefined) {
        state.level = state.begun = beginLevel(first, most, knownLevel(name)); // which may have become known meanwhile
        state.round = newRound();
      }
      state.standing = standing;
      const queue = queues.get(name)?.queue;
      if (queue) queue.concurrency = concurrencyOf(state);
    },
    used: (name) => queues.get(name)?.queue.pending ?? 0,
    hasWaiting: () => queues.values().some(({ queue }) => queue.size > 0),

    sent(name) {
      const state = stateOf(name);
      state.inFlight += 1;
      return { atMs: clock.nowMs(), inFlight: state.inFlight };
    },
    over: (name) => void (stateOf(name).inFlight -= 1),
    noteAnswer(name, { atMs, inFlight }) {
      const state = stateOf(name);
      const nowMs = clock.nowMs();
      state.acceptedMs[inFlight] = nowMs;
      state.round.answers += 1;
      state.round.answersMs += nowMs - atMs;
      look(name, state);
    },
    noteBytes(name, bytes) {
      const state = stateOf(name);
      state.round.bytes += bytes;
      look(name, state);
    },
    noteCut(name, sent) {
      const state = stateOf(name);
      if (state.inFlight > 0) setLevel(name, state, afterReset(state.level, troubleOf(state, sent)));
    },
    noteRefusal(name, sent, refusedAtMs = Infinity) {
      const state = stateOf(name);
      // refused again, although the host has accepted others while it had as many: then the reason is what was asked for
      const isOfImage = state.acceptedMs.slice(sent.inFlight).some((atMs) => atMs > refusedAtMs);
      if (state.inFlight === 0 || isOfImage) return false;
      const { level, loweredAtMs } = state.level;
      setLevel(name, state, afterRefusal(state.level, troubleOf(state, sent)));
      return state.level.level < level || sent.atMs < loweredAtMs;
    },
    pause(name, ms) {
      const state = stateOf(name);
      state.pausedUntilMs = Math.max(state.pausedUntilMs, clock.nowMs() + ms);
    },
    learned() {
      const answering = states.entries().filter(([, { acceptedMs }]) => acceptedMs.length > 0); // others may refuse for any reason
      const found = answering.map(([name, { level, begun }]) => [name, learnedOf(level, begun)] as const);
      return new Map(found.filter((entry): entry is [string, KnownLevel] => entry[1] !== undefined));
    },
  };
}

/**
 * Runs a job in one of a few slots. The job has its slot until it ends, its signal is aborted, it is promoted, or it calls
 * `release`.
 */
type PrefetchSlots = <T>(
  promoted: Promise<void>,
  signal: AbortSignal,
  job: (release: Release) => Promise<T>,
) => Promise<T>;

export function createPrefetchSlots(count: number): PrefetchSlots {
  const queue = new PQueue({ concurrency: count });
  return async (promoted, signal, job) => {
    const over = Promise.withResolvers<void>();
    const release = (): void => over.resolve();
    signal.addEventListener('abort', release);
    try {
      signal.throwIfAborted();
      const released = Promise.race([over.promise, promoted]);
      const slot = takeSlot(queue, 0);
      void Promise.all([slot, released]).then(([releaseSlot]) => releaseSlot());
      await Promise.race([slot, released]);
      return await job(release);
    } finally {
      signal.removeEventListener('abort', release);
      release();
    }
  };
}
