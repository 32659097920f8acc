import type { Leave } from './host-queues.ts';
import { lookMs, windowMs, type Paced } from './judge-pace.ts';

/** One transfer, with the turns that it has and what its server has done since it has them. */
export type Transfer = {
  readonly host: string | undefined;
  /** Turns at its host and in the batch, for as long as it has them. */
  leaveHost: Leave | undefined;
  leaveBatch: Leave | undefined;
  /** Among those that do not count, where it began as one of them. */
  leaveUncounted: Leave | undefined;
  /** Gives back its place among what is ahead. */
  readonly leaveAhead: Leave | undefined;
  /** What it waits with for its next turns: an older one is worth nothing. */
  ticket: symbol | undefined;
  /** The network has done its part. */
  hasArrived: boolean;
  /** Its server has answered something. */
  hasAnswered: boolean;
  /** Its server is being waited for. */
  isWaiting: boolean;
  isSlow: boolean;
  isGivingUp: boolean;
  /** How often it has given up its connection. */
  gaveUp: number;
  /** What ends its connections. */
  readonly connections: Set<() => void>;
  bytes: number;
  /** When it got its turns, with the bytes of then. */
  began: Look;
  /** The last looks at it, the oldest first. */
  looks: readonly Look[];
};

type Look = { readonly atMs: number; readonly bytes: number; readonly isWaiting: boolean };

export function createTransfer(host: string | undefined, leaveAhead?: Leave): Transfer {
  return {
    ...{ host, leaveHost: undefined, leaveBatch: undefined, leaveUncounted: undefined, leaveAhead, ticket: undefined },
    ...{ hasArrived: false, hasAnswered: false, isWaiting: false, isSlow: false, isGivingUp: false, gaveUp: 0 },
    ...{ connections: new Set(), bytes: 0, began: { atMs: 0, bytes: 0, isWaiting: true }, looks: [] },
  };
}

/** It has its turns, and is watched anew. */
export function beginAt(transfer: Transfer, atMs: number): void {
  transfer.began = { atMs, bytes: transfer.bytes, isWaiting: true };
  transfer.looks = [];
  transfer.isSlow = transfer.isGivingUp = false;
}

/** Notes how far it is, once in `lookMs`. */
export function lookAt(transfer: Transfer, atMs: number): void {
  const { bytes, isWaiting } = transfer;
  transfer.looks = [...transfer.looks, { atMs, bytes, isWaiting }].slice(-1 - windowMs / lookMs);
}

export function pacedOf(transfer: Transfer): Paced {
  const { host, isSlow, leaveBatch, connections, gaveUp, began, looks } = transfer;
  const [from = began] = looks.length > windowMs / lookMs ? looks : [began];
  const to = looks.at(-1) ?? began;
  const ms = to.atMs - from.atMs;
  return {
    ...{ host, isSlow, counts: leaveBatch !== undefined },
    // Each time it is left alone for longer: what cannot be resumed has to come to its end all the same.
    mayGiveUp: connections.size > 0 && to.atMs - began.atMs >= windowMs * 2 ** gaveUp,
    rate: ms < windowMs ? undefined : (1000 * (to.bytes - from.bytes)) / ms,
    wasWaitedFor: looks.every(({ isWaiting }) => isWaiting),
  };
}

/** What it has done since it began. */
export function doneSince({ began, bytes }: Transfer, nowMs: number): { bytes: number; ms: number; rate: number } {
  const ms = nowMs - began.atMs;
  return { bytes: bytes - began.bytes, ms, rate: (1000 * (bytes - began.bytes)) / Math.max(1, ms) };
}
