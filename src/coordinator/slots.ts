import PQueue from 'p-queue';

import type { Slot, Slots } from '../fetchers/context.ts';
import { createHostQueues, takeTurn, type Leave, createPlacesAhead } from './host-queues.ts';
import { judgePace, lookMs, slowBelow, tellingBytes, windowMs } from './judge-pace.ts';
import { beginAt, createTransfer, doneSince, lookAt, pacedOf, type Transfer } from './transfer.ts';

export type SlotsOptions = {
  readonly jobs: number;
  readonly jobsPerHost: number;
  /** Default the system's. */
  readonly clock?: PaceClock;
};

export type PaceClock = {
  readonly nowMs: () => number;
  /** Calls `look` again and again, until what it returns is called. */
  readonly every: (ms: number, look: () => void) => () => void;
};

/** Of transfers that do not count, so many for each that does. */
const uncountedPerJob = 4;
/** What ended before that many others tells nothing of the network any more. */
const endedKept = 32;
/** Less than this says more about the way to a server than about its pace. */
const leastBytes = 4096;

/** At a host: what was begun goes before what was not; what is ahead, and then what had to give up, go last. */
const priority = { begun: 1, usual: 0, ahead: -1, last: -2 } as const;
/** In the batch: what is under way goes before all that is not. */
const atOnce = 1;

/**
 * Slots for transfers: a turn at the host outside, one in the batch inside. The other way round an idle host would wait
 * behind a busy one. The batch shares its turns over hosts: who has fewer goes first.
 *
 * Slow servers keep nobody waiting. What waits for a retry gives its turns back. What is too slow for 5 s goes on without
 * them (judge-pace.ts); so does the first transfer of a host without one in the batch, until that host has brought
 * something. Of both there are at most four for each job; beyond that the slowest gives up its connection and waits again.
 * What has arrived gives its turns back before it is worked off, as long as no more than `jobs` do. What is ahead has half
 * of the jobs, or else one image that names many, and lets them drip, would keep all others from coming.
 *
 * What has no turn yet when the signal is aborted rejects with its reason when it gets one; the queues are never cleared.
 */
export function createSlots({ jobs, jobsPerHost, clock = systemClock }: SlotsOptions): Slots {
  const batch = new PQueue({ concurrency: jobs });
  const uncounted = new PQueue({ concurrency: uncountedPerJob * jobs });
  const hosts = createHostQueues(jobsPerHost);
  const whileAhead = createPlacesAhead(Math.max(1, jobs >> 1));
  const most = { all: uncountedPerJob * jobs, host: uncountedPerJob * jobsPerHost };
  /** Those that have their turns, or go on without. */
  const running = new Set<Transfer>();
  /** Bytes a second of the transfers that ended last. */
  const ended: number[] = [];
  /** First transfers of hosts that have not begun. */
  let newcomers = 0;
  let arrears = 0;
  let stopLooking: (() => void) | undefined;

  /** Those that became slow do not wait for a turn among what does not count: there is less room for the others then. */
  const makeRoom = (): void => {
    const slow = running
      .values()
      .filter(({ leaveBatch, leaveUncounted }) => !leaveBatch && !leaveUncounted)
      .toArray();
    uncounted.concurrency = Math.max(1, most.all - slow.length);
  };

  const takeUncounted = async (host: string): Promise<Leave> => {
    const isNew = hosts.standing(host) === undefined;
    if (isNew) newcomers += 1;
    try {
      return await takeTurn(uncounted, isNew ? 1 : 0);
    } finally {
      if (isNew) newcomers -= 1;
    }
  };

  /** Waits until the transfer may go on; of several waits with one ticket the first that ends counts. */
  const enter = async (transfer: Transfer, ticket: symbol, atHost: number): Promise<void> => {
    const { host } = transfer;
    const turns: { [turn in 'leaveHost' | 'leaveBatch' | 'leaveUncounted']?: Leave } = {};
    if (host !== undefined) turns.leaveHost = await hosts.turn(host, atHost);
    if (transfer.ticket === ticket) {
      if (host === undefined) turns.leaveBatch = await takeTurn(batch, 0);
      else if (hosts.standing(host) === 'good') turns.leaveBatch = await takeTurn(batch, -hosts.taken(host));
      else turns.leaveUncounted = await takeUncounted(host);
    }
    if (transfer.ticket !== ticket) {
      for (const leaveTurn of Object.values(turns)) leaveTurn();
      return;
    }
    Object.assign(transfer, turns, { ticket: undefined });
    beginAt(transfer, clock.nowMs());
    running.add(transfer);
    stopLooking ??= clock.every(lookMs, look);
  };

  const leave = (transfer: Transfer): void => {
    running.delete(transfer);
    leaveTurns(transfer);
    makeRoom();
    if (running.size > 0) return;
    stopLooking?.();
    stopLooking = undefined;
  };

  /** What goes on without turns is to have them again, and does not wait for them. */
  const takeTurns = async (transfer: Transfer): Promise<void> => {
    const { host } = transfer;
    const take = async (which: 'leaveHost' | 'leaveBatch', turn: () => Promise<Leave>): Promise<void> => {
      const isWanted = (): boolean => running.has(transfer) && !transfer.isSlow && !transfer[which];
      if (!isWanted()) return;
      const given = await turn();
      if (isWanted()) transfer[which] = given;
      else given();
    };
    if (host !== undefined) await take('leaveHost', () => hosts.turn(host, priority.begun));
    await take('leaveBatch', () => takeTurn(batch, atOnce));
    if (!transfer.leaveBatch) return;
    transfer.leaveUncounted?.();
    transfer.leaveUncounted = undefined;
    makeRoom();
  };

  const prove = (host: string): void => {
    if (hosts.standing(host) === 'good') return;
    hosts.setStanding(host, 'good');
    for (const transfer of running) if (transfer.host === host) void takeTurns(transfer);
  };

  const onBytes = (transfer: Transfer, bytes: number): void => {
    transfer.bytes += bytes;
    const { host } = transfer;
    if (host === undefined || hosts.standing(host) === 'good') return;
    const done = doneSince(transfer, clock.nowMs());
    if (done.bytes >= tellingBytes && done.rate >= slowBelow(ended, ended.length > 0)) prove(host);
  };

  /** The network has nothing more to do for it: what that says of its host, and of what is usual. */
  const conclude = (transfer: Transfer): void => {
    const { host, hasAnswered, hasArrived, isSlow } = transfer;
    if (!running.has(transfer) || hasArrived || !hasAnswered || host === undefined) return;
    const { bytes, ms, rate } = doneSince(transfer, clock.nowMs());
    if (bytes >= leastBytes && ended.push(rate) > endedKept) ended.shift();
    if (ms < windowMs && !isSlow) prove(host);
  };

  const look = (): void => {
    const nowMs = clock.nowMs();
    const watched = [...running].filter(({ hasArrived }) => !hasArrived);
    for (const transfer of watched) lookAt(transfer, nowMs);
    const paced = watched.map((transfer) => ({ transfer, ...pacedOf(transfer) }));
    const othersWait = batch.size > 0 || uncounted.size > 0 || hosts.hasWaiting();
    const { slow, decent, givingUp } = judgePace(paced, { ended, othersWait, newcomers, most });
    for (const { transfer } of decent) {
      const wasSlow = transfer.isSlow;
      transfer.isSlow = false;
      if (transfer.host !== undefined && transfer.hasAnswered) prove(transfer.host);
      if (wasSlow) void takeTurns(transfer);
    }
    for (const { transfer } of slow) slowDown(transfer);
    makeRoom();
    for (const { transfer } of givingUp) {
      transfer.isGivingUp = true;
      transfer.gaveUp += 1;
      for (const end of transfer.connections) end();
    }
  };

  /** A host that has never answered keeps its only turn: what else it has would be as silent. */
  const slowDown = (transfer: Transfer): void => {
    transfer.isSlow = true;
    transfer.leaveAhead?.();
    transfer.leaveBatch?.();
    transfer.leaveBatch = undefined;
    if (transfer.host === undefined || (!transfer.hasAnswered && !hosts.standing(transfer.host))) return;
    if (transfer.hasAnswered) hosts.setStanding(transfer.host, 'answers');
    transfer.leaveHost?.();
    transfer.leaveHost = undefined;
  };

  const slotOf = (transfer: Transfer, signal: AbortSignal): Slot & { readonly isFreed: () => boolean } => {
    let isFreed = false;
    return {
      isFreed: () => isFreed,
      arrived() {
        conclude(transfer);
        transfer.hasArrived = true;
        if (isFreed || arrears >= jobs) return;
        isFreed = true;
        arrears += 1;
        leave(transfer);
      },
      onConnection(end) {
        transfer.connections.add(end);
        return () => void transfer.connections.delete(end);
      },
      onWaiting: (isWaiting) => void (transfer.isWaiting = isWaiting),
      onAnswer: () => void (transfer.hasAnswered = true),
      onBytes: (bytes) => onBytes(transfer, bytes),
      async pause(wait) {
        if (isFreed) return wait();
        const atHost = transfer.isGivingUp ? priority.last : priority.begun;
        leave(transfer);
        transfer.leaveAhead?.();
        await wait();
        await enter(transfer, (transfer.ticket = Symbol()), atHost);
        signal.throwIfAborted();
      },
    };
  };

  type Work<T> = (slot: Slot) => Promise<T>;
  type Ahead = { readonly confirmed: Promise<void>; readonly leave: Leave };

  const run = async <T>(host: string | undefined, signal: AbortSignal, work: Work<T>, ahead?: Ahead): Promise<T> => {
    const transfer = createTransfer(host, ahead?.leave);
    const ticket = (transfer.ticket = Symbol());
    const slot = slotOf(transfer, signal);
    try {
      // What is confirmed while it waits gets a second turn, among the others; whichever comes first counts.
      const first = enter(transfer, ticket, ahead ? priority.ahead : priority.usual);
      await Promise.race([first, ahead?.confirmed.then(() => enter(transfer, ticket, priority.usual)) ?? first]);
      signal.throwIfAborted();
      return await work(slot);
    } finally {
      conclude(transfer);
      leave(transfer);
      transfer.ticket = undefined;
      if (slot.isFreed()) arrears -= 1;
    }
  };

  const answered = (host: string): void => {
    if (!hosts.standing(host)) hosts.setStanding(host, 'answers');
  };
  const ahead = (confirmed: Promise<void>): Slots => ({
    run: (host, signal, work) =>
      whileAhead(confirmed, signal, (leave) => run(host, signal, work, { confirmed, leave })),
    ahead,
    answered,
  });
  return { run: (host, signal, work) => run(host, signal, work), ahead, answered };
}

function leaveTurns(transfer: Transfer): void {
  transfer.leaveBatch?.();
  transfer.leaveUncounted?.();
  transfer.leaveHost?.();
  transfer.leaveHost = transfer.leaveBatch = transfer.leaveUncounted = undefined;
}

const systemClock: PaceClock = {
  nowMs: () => performance.now(),
  every(ms, look) {
    // What came while the thread was busy is seen first: timers come before sockets.
    const timer = setInterval(() => setImmediate(look), ms).unref();
    return () => clearInterval(timer);
  },
};
