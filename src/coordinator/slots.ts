import PQueue from 'p-queue';

import type { Slot, Slots } from '../fetchers/context.ts';
import { createHostQueues, takeSlot, type Release, createPrefetchSlots } from './host-queues.ts';
import { classifyPace, lookMs, slowBelow, tellingBytes, windowMs } from './pace.ts';
import { beginAt, createTransfer, doneSince, lookAt, pacedOf, type Transfer } from './transfer.ts';
import { debugLog } from '../system/debug.ts';
import { show } from '../image/show.ts';

const debug = debugLog('coordinator');

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

/** So many transfers that do not count as jobs, for each job. */
const uncountedPerJob = 4;
/** So many of the last transfers tell what is usual in this network. */
const endedKept = 32;
/** A smaller body says more about the delay of a server than about its rate. */
const leastBytes = 4096;

/** At a host: transfers that had begun go first; prefetches, and then transfers that had to give up, go last. */
const priority = { begun: 1, usual: 0, prefetched: -1, last: -2 } as const;
/** In the batch: transfers that are under way go before all others. */
const atOnce = 1;

/**
 * A transfer waits for a slot at its host first, then for one in the batch. In the other order an idle host would wait
 * behind a busy one. Of the slots in the batch, the host that has the fewest gets the next.
 *
 * Slow servers do not hold up the batch. A transfer that waits for a retry gives its slots back. A transfer that is too
 * slow for 5 s goes on without slots (pace.ts). The first transfer of a host has no slot in the batch until that host has
 * sent something. There are at most four of both for each job; if there are more, the slowest closes its connection and
 * waits again. An image that has arrived gives its slots back before it is verified, for up to `jobs` images. Prefetches
 * get half of the jobs: otherwise one image that names many slow ones would hold up all others.
 *
 * After an abort a transfer that still waits rejects with the signal's reason when it gets its slot; the queues are never
 * cleared.
 */
export function createSlots({ jobs, jobsPerHost, clock = systemClock }: SlotsOptions): Slots {
  const batch = new PQueue({ concurrency: jobs });
  const uncounted = new PQueue({ concurrency: uncountedPerJob * jobs });
  const hosts = createHostQueues(jobsPerHost);
  const inPrefetchSlot = createPrefetchSlots(Math.max(1, jobs >> 1));
  const most = { all: uncountedPerJob * jobs, host: uncountedPerJob * jobsPerHost };
  /** Those that have their slots, or go on without them. */
  const running = new Set<Transfer>();
  /** Bytes a second of the transfers that ended last. */
  const ended: number[] = [];
  /** First transfers of hosts that have not begun. */
  let newcomers = 0;
  let arrears = 0;
  let stopLooking: (() => void) | undefined;

  /** Those that became slow take room among the transfers that do not count, and do not wait for it. */
  const makeRoom = (): void => {
    const slow = running
      .values()
      .filter(({ releaseBatch, releaseUncounted }) => !releaseBatch && !releaseUncounted)
      .toArray();
    uncounted.concurrency = Math.max(1, most.all - slow.length);
  };

  const takeUncounted = async (host: string): Promise<Release> => {
    const isNew = hosts.standing(host) === undefined;
    if (isNew) newcomers += 1;
    try {
      return await takeSlot(uncounted, isNew ? 1 : 0);
    } finally {
      if (isNew) newcomers -= 1;
    }
  };

  /** Waits until the transfer may go on; of several waits with one ticket the first that ends counts. */
  const enter = async (transfer: Transfer, ticket: symbol, atHost: number): Promise<void> => {
    const { host } = transfer;
    const slots: { [which in 'releaseHost' | 'releaseBatch' | 'releaseUncounted']?: Release } = {};
    if (host !== undefined) slots.releaseHost = await hosts.slot(host, atHost);
    if (transfer.ticket === ticket) {
      if (host === undefined) slots.releaseBatch = await takeSlot(batch, 0);
      else if (hosts.standing(host) === 'good') slots.releaseBatch = await takeSlot(batch, -hosts.used(host));
      else slots.releaseUncounted = await takeUncounted(host);
    }
    if (transfer.ticket !== ticket) {
      for (const release of Object.values(slots)) release();
      return;
    }
    Object.assign(transfer, slots, { ticket: undefined });
    beginAt(transfer, clock.nowMs());
    running.add(transfer);
    stopLooking ??= clock.every(lookMs, look);
  };

  const end = (transfer: Transfer): void => {
    running.delete(transfer);
    releaseSlots(transfer);
    makeRoom();
    if (running.size > 0) return;
    stopLooking?.();
    stopLooking = undefined;
  };

  /** Gives a transfer that goes on without slots its slots again; the transfer does not wait for them. */
  const takeSlots = async (transfer: Transfer): Promise<void> => {
    const { host } = transfer;
    const take = async (which: 'releaseHost' | 'releaseBatch', wait: () => Promise<Release>): Promise<void> => {
      const isWanted = (): boolean => running.has(transfer) && !transfer.isSlow && !transfer[which];
      if (!isWanted()) return;
      const release = await wait();
      if (isWanted()) transfer[which] = release;
      else release();
    };
    if (host !== undefined) await take('releaseHost', () => hosts.slot(host, priority.begun));
    await take('releaseBatch', () => takeSlot(batch, atOnce));
    if (!transfer.releaseBatch) return;
    transfer.releaseUncounted?.();
    transfer.releaseUncounted = undefined;
    makeRoom();
  };

  const prove = (host: string): void => {
    if (hosts.standing(host) === 'good') return;
    hosts.setStanding(host, 'good');
    for (const transfer of running) if (transfer.host === host) void takeSlots(transfer);
  };

  const onBytes = (transfer: Transfer, bytes: number): void => {
    transfer.bytes += bytes;
    const { host } = transfer;
    if (host === undefined || hosts.standing(host) === 'good') return;
    const done = doneSince(transfer, clock.nowMs());
    if (done.bytes >= tellingBytes && done.rate >= slowBelow(ended, ended.length > 0)) prove(host);
  };

  /** Its transfer has ended: notes what that says of its host, and of the usual rate. */
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
    const { slow, decent, givingUp } = classifyPace(paced, { ended, othersWait, newcomers, most });
    for (const { transfer } of decent) {
      const wasSlow = transfer.isSlow;
      transfer.isSlow = false;
      if (transfer.host !== undefined && transfer.hasAnswered) prove(transfer.host);
      if (wasSlow) void takeSlots(transfer);
    }
    for (const { transfer } of slow) {
      debug(() => `a transfer from ${show(transfer.host ?? 'a file')} is slow: it goes on without a slot`);
      slowDown(transfer);
    }
    makeRoom();
    for (const { transfer } of givingUp) {
      debug(() => `a transfer from ${show(transfer.host ?? 'a file')} gives up its connection`);
      transfer.isGivingUp = true;
      transfer.gaveUp += 1;
      for (const end of transfer.connections) end();
    }
  };

  /** A host that has never answered keeps its only slot in use: its other transfers would wait in vain as well. */
  const slowDown = (transfer: Transfer): void => {
    transfer.isSlow = true;
    transfer.releasePrefetch?.();
    transfer.releaseBatch?.();
    transfer.releaseBatch = undefined;
    if (transfer.host === undefined || (!transfer.hasAnswered && !hosts.standing(transfer.host))) return;
    if (transfer.hasAnswered) hosts.setStanding(transfer.host, 'answers');
    transfer.releaseHost?.();
    transfer.releaseHost = undefined;
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
        end(transfer);
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
        end(transfer);
        transfer.releasePrefetch?.();
        await wait();
        await enter(transfer, (transfer.ticket = Symbol()), atHost);
        signal.throwIfAborted();
      },
    };
  };

  type Work<T> = (slot: Slot) => Promise<T>;
  type Prefetch = { readonly promoted: Promise<void>; readonly release: Release };

  const run = async <T>(
    host: string | undefined,
    signal: AbortSignal,
    work: Work<T>,
    prefetched?: Prefetch,
  ): Promise<T> => {
    const transfer = createTransfer(host, prefetched?.release);
    const ticket = (transfer.ticket = Symbol());
    const slot = slotOf(transfer, signal);
    try {
      // A prefetch that is promoted while it waits joins the usual queue too; the slot that comes first counts.
      const first = enter(transfer, ticket, prefetched ? priority.prefetched : priority.usual);
      await Promise.race([first, prefetched?.promoted.then(() => enter(transfer, ticket, priority.usual)) ?? first]);
      signal.throwIfAborted();
      return await work(slot);
    } finally {
      conclude(transfer);
      end(transfer);
      transfer.ticket = undefined;
      if (slot.isFreed()) arrears -= 1;
    }
  };

  const answered = (host: string): void => {
    if (!hosts.standing(host)) hosts.setStanding(host, 'answers');
  };
  const prefetch = (promoted: Promise<void>): Slots => ({
    run: (host, signal, work) =>
      inPrefetchSlot(promoted, signal, (release) => run(host, signal, work, { promoted, release })),
    prefetch,
    answered,
  });
  return { run: (host, signal, work) => run(host, signal, work), prefetch, answered };
}

function releaseSlots(transfer: Transfer): void {
  transfer.releaseBatch?.();
  transfer.releaseUncounted?.();
  transfer.releaseHost?.();
  transfer.releaseHost = transfer.releaseBatch = transfer.releaseUncounted = undefined;
}

const systemClock: PaceClock = {
  nowMs: () => performance.now(),
  every(ms, look) {
    // What came while the thread was busy is seen first: timers come before sockets.
    const timer = setInterval(() => setImmediate(look), ms).unref();
    return () => clearInterval(timer);
  },
};
