import type { Release } from './host-queues.ts';
import { lookMs, windowMs, type Paced } from './pace.ts';

/** One transfer: the slots that it has, and what its server has sent since then. */
export type Transfer = {
  readonly host: string | undefined;
  /** Gives back its slot at its host or in the batch; undefined while it has none. */
  releaseHost: Release | undefined;
  releaseBatch: Release | undefined;
  /** Gives back its slot among the transfers that do not count as jobs; undefined while it has none. */
  releaseUncounted: Release | undefined;
  /** Gives back its slot among the prefetches. */
  readonly releasePrefetch: Release | undefined;
  /** Names the wait for its next slots. A wait with an older ticket has no effect. */
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
  /** When it got its slots, and its bytes at that time. */
  began: Look;
  /** The last looks at it, the oldest first. */
  looks: readonly Look[];
};

type Look = { readonly atMs: number; readonly bytes: number; readonly isWaiting: boolean };

export function createTransfer(host: string | undefined, releasePrefetch?: Release): Transfer {
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
    ...{ connections: new Set(), bytes: 0, began: { atMs: 0, bytes: 0, isWaiting: true }, looks: [] },
  };
}

/** Starts to measure it, when it has got its slots. */
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
  const { host, isSlow, releaseBatch, connections, gaveUp, began, looks } = transfer;
  const [from = began] = looks.length > windowMs / lookMs ? looks : [began];
  const to = looks.at(-1) ?? began;
  const ms = to.atMs - from.atMs;
  return {
    ...{ host, isSlow, counts: releaseBatch !== undefined },
    // Each time it is left alone for longer: what cannot be resumed must be able to end as well.
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
