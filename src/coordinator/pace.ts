/** What is known of a transfer that is under way. */
export type Paced = {
  readonly host: string | undefined;
  /** It was found slow before. */
  readonly isSlow: boolean;
  /** It takes one of the jobs. */
  readonly counts: boolean;
  /** Bytes a second over the last `windowMs`; undefined before so much time has passed. */
  readonly rate: number | undefined;
  /** All that time nothing but its server was waited for. */
  readonly wasWaitedFor: boolean;
  /** It has a connection, and has had it for long enough. */
  readonly mayGiveUp: boolean;
};

export type PaceQuestion = {
  /** Bytes a second of the transfers that ended last. */
  readonly ended: readonly number[];
  /** Something waits for a slot. */
  readonly othersWait: boolean;
  /** First transfers of hosts that wait for one of those to end that do not count. */
  readonly newcomers: number;
  /** Transfers that do not count, in all and from one host. */
  readonly most: { readonly all: number; readonly host: number };
};

export type PaceVerdict<T> = {
  /** No longer count. */
  readonly slow: readonly T[];
  /** Keep pace, whatever they did before. */
  readonly decent: readonly T[];
  /** Give up their connections, and go to the end of the queue. */
  readonly givingUp: readonly T[];
};

/** Between two looks, and how far back the rate of a transfer goes. */
export const lookMs = 1000;
export const windowMs = 5000;

/** A body of so many bytes tells how fast its server is. */
export const tellingBytes = 64 * 1024;

/** Bytes a second below which a transfer is slow in any case: where all are, none is below a tenth of the median. */
const leastRate = { atFirst: (tellingBytes * 1000) / windowMs, later: 1024 };

/**
 * Which transfers are too slow to keep others waiting: those below a tenth of the median, as long as others wait. Of more
 * slow ones than are allowed, the slowest give up. A transfer that we held up ourselves is never slow.
 */
export function classifyPace<T extends Paced>(transfers: readonly T[], question: PaceQuestion): PaceVerdict<T> {
  const { ended, othersWait, newcomers, most } = question;
  const rates = transfers.flatMap(({ isSlow, rate }) => (isSlow || rate === undefined ? [] : [rate]));
  const least = slowBelow([...ended, ...rates], ended.length > 0);
  const isBelow = ({ rate, wasWaitedFor }: T): boolean => wasWaitedFor && rate !== undefined && rate < least;
  const decent = transfers.filter((one) => one.rate !== undefined && !isBelow(one));
  if (!othersWait) return { slow: [], decent, givingUp: [] };

  const below = transfers.filter(isBelow).toSorted((one, other) => (one.rate ?? 0) - (other.rate ?? 0));
  const uncounted = transfers.filter((one) => !one.counts && !decent.includes(one));
  const slow = below.filter(({ isSlow }) => !isSlow);
  const room = roomFor([...uncounted, ...slow.filter(({ counts }) => counts)], most, newcomers);
  const givingUp = below.filter((one) => one.mayGiveUp && room.isShortFor(one) && room.remove(one));
  // Where nobody may give up, the least slow of those that were to stop counting go on counting.
  const kept = slow
    .toReversed()
    .filter((one) => one.counts && !givingUp.includes(one) && room.isShortFor(one) && room.remove(one));
  return { slow: slow.filter((one) => !kept.includes(one)), decent, givingUp };
}

/** How many there are, in all and of each host, of those that there may be only so many of. */
function roomFor(
  transfers: readonly Paced[],
  most: PaceQuestion['most'],
  newcomers: number,
): { isShortFor(one: Paced): boolean; remove(one: Paced): true } {
  const ofHost = new Map<string | undefined, number>();
  for (const { host } of transfers) ofHost.set(host, (ofHost.get(host) ?? 0) + 1);
  let all = transfers.length + newcomers;
  return {
    isShortFor: ({ host }) => all > most.all || (ofHost.get(host) ?? 0) > most.host,
    remove({ host }) {
      all -= 1;
      ofHost.set(host, (ofHost.get(host) ?? 0) - 1);
      return true;
    },
  };
}

/**
 * Bytes a second: a tenth of the median.
 *
 * @param isKnown - some transfer has ended: it is known what is usual here.
 */
export function slowBelow(rates: readonly number[], isKnown: boolean): number {
  const sorted = rates.toSorted((one, other) => one - other);
  const least = isKnown ? leastRate.later : leastRate.atFirst;
  return Math.max(least, (sorted[sorted.length >> 1] ?? 0) / 10);
}
