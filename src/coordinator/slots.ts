import { setTimeout as sleep } from 'node:timers/promises';

import PQueue from 'p-queue';

import type { Slot, Slots } from '../fetchers/context.ts';
import { show } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import { createHostQueues, createPrefetchSlots, type PaceClock, type Release, takeSlot } from './host-queues.ts';
import { autoLevel, type KnownLevel } from './level.ts';
import { classifyPace, lookMs, slowBelow, tellingBytes, windowMs } from './pace.ts';
import { beginAt, createTransfer, doneSince, lookAt, pacedOf, type Transfer } from './transfer.ts';

const debug = debugLog('coordinator');

export type SlotsOptions = {
  readonly jobs: number;
  /** The most transfers from one host; by `auto`, few at first, and more as long as that brings throughput. */
  readonly jobsPerHost: number | 'auto';
  /** Default: the system's clock. */
  readonly clock?: PaceClock;
  /** What an earlier run has learned of a host. */
  readonly knownLevel?: (host: string) => KnownLevel | undefined;
};

/** The most transfers that do not count as jobs, for each job. */
const uncountedPerJob = 4;
/** The usual rate is that of the last transfers, at most this many. */
const endedKept = 32;
/** The duration of a smaller body depends more on the delay of a server than on its rate. */
const leastBytes = 4096;

/**
 * Priorities at a host: transfers that had begun come first, and those of images that have begun before the first request of other
 * images; prefetches, and then transfers that had to give up, come last.
 */
const priority = { begun: 2, usual: 1, first: 0, prefetched: -1, last: -2 } as const;
/** The priority in the batch of a transfer that is running without a slot. */
const atOnce = 1;

/**
 * A transfer waits for a slot at its host first, then for one in the batch. In the other order the transfers of an idle host would
 * wait behind those of a busy one. The host with the fewest slots in the batch gets the next one.
 *
 * Slow servers do not hold up the batch. A transfer that waits for a retry gives its slots back. A transfer that is too
 * slow for 5 s goes on without slots (pace.ts). Transfers of a host have no slot in the batch until that host has sent
 * something. There are at most four of both for each job; if there are more, the slowest closes its connection and
 * waits again. An image that has arrived gives its slots back before it is verified, for up to `jobs` images. Prefetches
 * get half of the jobs: otherwise one image that names many slow ones would hold up all others.
 *
 * After an abort a transfer that still waits rejects with the signal's reason when it gets its slot; the queues are never
 * cleared.
 */
export function createSlots({ jobs, jobsPerHost, clock = systemClock, knownLevel = () => undefined }: SlotsOptions) {
  const { first, most } = jobsPerHost === 'auto' ? autoLevel : { first: jobsPerHost, most: jobsPerHost };
  const batch = new PQueue({ concurrency: jobs });
  const uncounted = new PQueue({ concurrency: uncountedPerJob * jobs });
  const hosts = createHostQueues({ first, most, clock, knownLevel });
  const inPrefetchSlot = createPrefetchSlots(Math.max(1, jobs >> 1));
  const maxUncounted = { all: uncountedPerJob * jobs, host: uncountedPerJob * most };
  /** The transfers that have slots, or run without them. */
  const running = new Set<Transfer>();
  /** The rates of the transfers that ended last, in bytes a second. */
  const ended: number[] = [];
  /** The number of first transfers of a host that wait for a slot. */
  let newcomers = 0;
  /** The number of images that have arrived, have given their slots back, and are being verified. */
  let verifying = 0;
  let stopLooking: (() => void) | undefined;

  /** Transfers that became slow use slots of the transfers that do not count, without waiting for them. */
  const makeRoom = (): void => {
    const slow = running
      .values()
      .filter(({ releaseBatch, releaseUncounted }) => !releaseBatch && !releaseUncounted)
      .toArray();
    const room = Math.max(1, maxUncounted.all - slow.length);
    if (room !== uncounted.concurrency) uncounted.concurrency = room;
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

  /** Waits for the slots of a transfer. Of several waits with the same ticket, the first that ends is used. */
  const enter = async (transfer: Transfer, ticket: symbol, atHost: number): Promise<void> => {
    const { host } = transfer;
    const slots: { [which in 'releaseHost' | 'releaseBatch' | 'releaseUncounted']?: Release } = {};
    if (host !== undefined) slots.releaseHost = await hosts.slot(host, atHost, transfer.signal);
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

  /** Waits for the slots of a transfer that runs without them; the transfer itself goes on meanwhile. */
  const takeSlots = async (transfer: Transfer): Promise<void> => {
    const { host } = transfer;
    const take = async (which: 'releaseHost' | 'releaseBatch', wait: () => Promise<Release>): Promise<void> => {
      const isWanted = (): boolean => running.has(transfer) && !transfer.isSlow && !transfer[which];
      if (!isWanted()) return;
      const release = await wait();
      if (isWanted()) transfer[which] = release;
      else release();
    };
    if (host !== undefined) await take('releaseHost', () => hosts.slot(host, priority.begun, transfer.signal));
    await take('releaseBatch', () => takeSlot(batch, atOnce));
    if (!transfer.releaseBatch) return;
    transfer.releaseUncounted?.();
    transfer.releaseUncounted = undefined;
    makeRoom();
  };

  const markGood = (host: string): void => {
    if (hosts.standing(host) === 'good') return;
    hosts.setStanding(host, 'good');
    for (const transfer of running) if (transfer.host === host) void takeSlots(transfer);
  };

  const onBytes = (transfer: Transfer, bytes: number): void => {
    transfer.bytes += bytes;
    const { host } = transfer;
    if (host === undefined) return;
    hosts.noteBytes(host, bytes);
    if (hosts.standing(host) === 'good') return;
    const done = doneSince(transfer, clock.nowMs());
    if (done.bytes >= tellingBytes && done.rate >= slowBelow(ended, ended.length > 0)) markGood(host);
  };

  /** Called when a transfer ends: updates the usual rate and the standing of its host. */
  const conclude = (transfer: Transfer): void => {
    const { host, hasAnswered, hasArrived, isSlow } = transfer;
    if (!running.has(transfer) || hasArrived || !hasAnswered || host === undefined) return;
    const { bytes, ms, rate } = doneSince(transfer, clock.nowMs());
    if (bytes >= leastBytes && ended.push(rate) > endedKept) ended.shift();
    if (ms < windowMs && !isSlow) markGood(host);
  };

  const look = (): void => {
    const nowMs = clock.nowMs();
    const watched = [...running].filter(({ hasArrived }) => !hasArrived);
    for (const transfer of watched) lookAt(transfer, nowMs);
    const paced = watched.map((transfer) => ({ transfer, ...pacedOf(transfer) }));
    const othersWait = batch.size > 0 || uncounted.size > 0 || hosts.hasWaiting();
    const { slow, decent, givingUp } = classifyPace(paced, { ended, othersWait, newcomers, maxUncounted });
    for (const { transfer } of decent) {
      const wasSlow = transfer.isSlow;
      transfer.isSlow = false;
      if (transfer.host !== undefined && transfer.hasAnswered) markGood(transfer.host);
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

  /** The transfer goes on without slots. Only if its host has never answered, it keeps the only slot of that host. */
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
        if (isFreed || verifying >= jobs) return;
        isFreed = true;
        verifying += 1;
        end(transfer);
      },
      onConnection(end) {
        const { host } = transfer;
        transfer.connections.add(end);
        if (host !== undefined) transfer.sent = hosts.sent(host);
        return () => {
          transfer.connections.delete(end);
          if (host !== undefined) hosts.over(host);
        };
      },
      onWaiting: (isWaiting) => void (transfer.isWaiting = isWaiting),
      onAnswer(status) {
        const { host, sent } = transfer;
        transfer.hasAnswered = true;
        const isGood = status !== undefined && status < 500 && status !== 429;
        if (!isGood || host === undefined || !sent) return;
        hosts.noteAnswer(host, sent);
        answered(host);
      },
      onRefused(retryAfterMs) {
        const { host, sent, refusedAtMs } = transfer;
        if (host === undefined || !sent) return false;
        if (retryAfterMs !== undefined) hosts.pause(host, retryAfterMs);
        transfer.refusedAtMs = clock.nowMs();
        transfer.wasRefused = true;
        return hosts.noteRefusal(host, sent, refusedAtMs);
      },
      onCut() {
        const { host, sent } = transfer;
        if (host !== undefined && sent) hosts.noteCut(host, sent);
      },
      onBytes: (bytes) => onBytes(transfer, bytes),
      async pause(wait) {
        if (isFreed) return wait();
        // after those that wait: a host that refuses one image may have others to send
        const atHost = transfer.isGivingUp ? priority.last : transfer.wasRefused ? priority.first : priority.begun;
        transfer.wasRefused = false;
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
    atHost: number,
    prefetched?: Prefetch,
  ): Promise<T> => {
    const transfer = createTransfer(host, signal, prefetched?.release);
    const ticket = (transfer.ticket = Symbol());
    const slot = slotOf(transfer, signal);
    try {
      // a prefetch that is promoted while it waits also waits with the usual priority; the first slot is used
      const first = enter(transfer, ticket, prefetched ? priority.prefetched : atHost);
      await (prefetched
        ? Promise.race([first, prefetched.promoted.then(() => enter(transfer, ticket, atHost))])
        : first);
      signal.throwIfAborted();
      return await work(slot);
    } finally {
      conclude(transfer);
      end(transfer);
      transfer.ticket = undefined;
      if (slot.isFreed()) verifying -= 1;
    }
  };

  const answered = (host: string): void => {
    if (!hosts.standing(host)) hosts.setStanding(host, 'answers');
  };
  const runAt =
    (atHost: number): Slots['run'] =>
    (host, signal, work) =>
      run(host, signal, work, atHost);
  const prefetchAt =
    (promoted: Promise<void>, atHost: number): Slots['run'] =>
    (host, signal, work) =>
      inPrefetchSlot(promoted, signal, (release) => run(host, signal, work, atHost, { promoted, release }));
  const prefetch = (promoted: Promise<void>): Slots => ({
    run: prefetchAt(promoted, priority.usual),
    runFirst: prefetchAt(promoted, priority.first),
    prefetch,
    answered,
  });
  const slots: Slots = { run: runAt(priority.usual), runFirst: runAt(priority.first), prefetch, answered };
  return { ...slots, learned: () => hosts.learned() };
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
    // setImmediate, so that data that arrived while the thread was busy is read first: timers run before sockets
    const timer = setInterval(() => setImmediate(look), ms).unref();
    return () => clearInterval(timer);
  },
  sleep: (ms, signal) => sleep(ms, undefined, { signal }),
};
