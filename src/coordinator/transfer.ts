import type { Release, Sent } from './host-queues.ts';
import { lookMs, type Paced, windowMs } from './pace.ts';

/** The state of one transfer: its slots and its progress. */
export type Transfer = {
  readonly host: string | undefined;
  /** Give back the slot at the host and in the batch; undefined while the transfer has none. */
  releaseHost: Release | undefined;
  releaseBatch: Release | undefined;
  /** Gives back the slot among the transfers that do not count as jobs; undefined while the transfer has none. */
  releaseUncounted: Release | undefined;
  /** Gives back the slot among the prefetches. */
  readonly releasePrefetch: Release | undefined;
  /** Identifies the wait for the next slots. A wait with an older ticket has no effect. */
  ticket: symbol | undefined;
  /** All bytes have arrived. */
  hasArrived: boolean;
  /** The server has answered. */
  hasAnswered: boolean;
  /** The transfer waits for its server. */
  isWaiting: boolean;
  isSlow: boolean;
  isGivingUp: boolean;
  /** How often the transfer has given up its connection. */
  gaveUp: number;
  /** Its last request, and when its last request that was refused was. */
  sent: Sent | undefined;
  refusedAtMs: number | undefined;
  /** The wait that follows is one after a refusal. */
  wasRefused: boolean;
  readonly signal: AbortSignal;
  /** Functions that end its connections. */
  readonly connections: Set<() => void>;
  bytes: number;
  /** The time at which the transfer got its slots, and its bytes at that time. */
  began: Look;
  /** The last measurements, the oldest first. */
  looks: readonly Look[];
};

type Look = { readonly atMs: number; readonly bytes: number; readonly isWaiting: boolean };

export function createTransfer(host: string | undefined, signal: AbortSignal, releasePrefetch?: Release): Transfer {
  return {
    ...{
      host,
      releaseHost: undefined,
      releaseBatch: undefined,
      releaseUncounted: undefined,
      releasePrefetch: releasePrefetch,
      ticket: undefined,
    },
    ...{ hasArrived: false, hasAnswered: false, isWaiting: false, isSlow: false, isGivingUp: false, gaveUp: 0 },
    ...{ sent: undefined, refusedAtMs: undefined, wasRefused: false, signal },
    ...{ connections: new Set(), bytes: 0, began: { atMs: 0, bytes: 0, isWaiting: true }, looks: [] },
  };
}

/** Starts the measurement of a transfer when it has its slots. */
export function beginAt(transfer: Transfer, atMs: number): void {
  transfer.began = { atMs, bytes: transfer.bytes, isWaiting: true };
  transfer.looks = [];
  transfer.isSlow = transfer.isGivingUp = false;
}

/** Adds a measurement; called every `lookMs`. */
export function lookAt(transfer: Transfer, atMs: number): void {
  const { bytes, isWaiting } = transfer;
  transfer.looks = [...transfer.looks, { atMs, bytes, isWaiting }].slice(-1 - windowMs / lookMs);
}

export function pacedOf(transfer: Transfer): Paced {
  const { host, isSlow, releaseBatch, connections, gaveUp, began, looks } = transfer;
  const [from = began] = looks.length > windowMs / lookMs ? looks : [began];
  const to = looks.at(-1) ?? began;
  const ms = to.atMs - from.atMs;
  return {
    ...{ host, isSlow, counts: releaseBatch !== undefined },
    // after each time, it may keep its connection twice as long: a transfer that cannot be resumed must be able to end
    mayGiveUp: connections.size > 0 && to.atMs - began.atMs >= windowMs * 2 ** gaveUp,
    rate: ms < windowMs ? undefined : (1000 * (to.bytes - from.bytes)) / ms,
    wasWaitedFor: looks.every(({ isWaiting }) => isWaiting),
  };
}

/** The progress of a transfer since it got its slots; `rate` is in bytes a second. */
export function doneSince({ began, bytes }: Transfer, nowMs: number): { bytes: number; ms: number; rate: number } {
  const ms = nowMs - began.atMs;
  return { bytes: bytes - began.bytes, ms, rate: (1000 * (bytes - began.bytes)) / Math.max(1, ms) };
}
