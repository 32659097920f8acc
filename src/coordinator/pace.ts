/** The facts about a running transfer that decide whether it is too slow. */
export type Paced = {
  readonly host: string | undefined;
  /** The transfer was found slow before. */
  readonly isSlow: boolean;
  /** The transfer has a slot in the batch, so it counts as one of the jobs. */
  readonly counts: boolean;
  /** Bytes a second over the last `windowMs`; undefined if the transfer has not run that long. */
  readonly rate: number | undefined;
  /** During that time the transfer waited for its server only. */
  readonly wasWaitedFor: boolean;
  /** The transfer has a connection, and has had it for long enough. */
  readonly mayGiveUp: boolean;
};

export type PaceQuestion = {
  /** The rates of the transfers that ended last, in bytes a second. */
  readonly ended: readonly number[];
  /** Whether a transfer waits for a slot. */
  readonly othersWait: boolean;
  /** The number of first transfers of a host that wait for a slot among the transfers that do not count. */
  readonly newcomers: number;
  /** The most transfers that do not count, in all and from one host. */
  readonly maxUncounted: { readonly all: number; readonly host: number };
};

export type PaceVerdict<T> = {
  /** Transfers that become slow and no longer count. */
  readonly slow: readonly T[];
  /** Transfers that are fast enough, also if they were slow before. */
  readonly decent: readonly T[];
  /** Transfers that must give up their connections and go to the end of the queue. */
  readonly givingUp: readonly T[];
};

/** The time between two measurements, and the time over which the rate of a transfer is averaged. */
export const lookMs = 1000;
export const windowMs = 5000;

/** The rate of a server is known once it has sent this many bytes. */
export const tellingBytes = 64 * 1024;

/**
 * A transfer below this many bytes a second is slow in any case: if all transfers are slow, none is below a tenth of the median.
 * `atFirst` is used before any transfer has ended.
 */
const leastRate = { atFirst: (tellingBytes * 1000) / windowMs, later: 1024 };

/**
 * Decides which transfers are too slow: as long as others wait for a slot, those below a tenth of the median rate. If there are more
 * slow transfers than allowed, the slowest give up, those of a host that has too many first. A transfer that waited for something else
 * than its server is never slow.
 */
export function classifyPace<T extends Paced>(transfers: readonly T[], question: PaceQuestion): PaceVerdict<T> {
  const { ended, othersWait, newcomers, maxUncounted } = question;
  const rates = transfers.flatMap(({ isSlow, rate }) => (isSlow || rate === undefined ? [] : [rate]));
  const least = slowBelow([...ended, ...rates], ended.length > 0);
  const isBelow = ({ rate, wasWaitedFor }: T): boolean => wasWaitedFor && rate !== undefined && rate < least;
  const decent = transfers.filter((one) => one.rate !== undefined && !isBelow(one));
  if (!othersWait) return { slow: [], decent, givingUp: [] };

  const below = transfers.filter(isBelow).toSorted((one, other) => (one.rate ?? 0) - (other.rate ?? 0));
  const uncounted = transfers.filter((one) => !one.counts && !decent.includes(one));
  const slow = below.filter(({ isSlow }) => !isSlow);
  const room = createRoom([...uncounted, ...slow.filter(({ counts }) => counts)], maxUncounted, newcomers);
  const [givingUp, kept] = [new Set<T>(), new Set<T>()];
  // what leaves for its host makes room for all others too
  for (const areTooManyWith of [room.hasTooManyOfHost, room.hasTooMany]) {
    for (const one of below) {
      if (one.mayGiveUp && !givingUp.has(one) && areTooManyWith(one)) givingUp.add(room.remove(one));
    }
    // if too few may give up, the fastest of the slow transfers continue to count
    for (const one of slow.toReversed()) {
      if (one.counts && !givingUp.has(one) && !kept.has(one) && areTooManyWith(one)) kept.add(room.remove(one));
    }
  }
  return {
    slow: slow.filter((one) => !kept.has(one)),
    decent,
    givingUp: below.filter((one) => givingUp.has(one)),
  };
}

type Room<T> = {
  readonly hasTooManyOfHost: (one: T) => boolean;
  readonly hasTooMany: () => boolean;
  readonly remove: (one: T) => T;
};

/** Counts the transfers that do not count as jobs, in all and of each host, against their limits. */
function createRoom<T extends Paced>(
  transfers: readonly T[],
  maxUncounted: PaceQuestion['maxUncounted'],
  newcomers: number,
): Room<T> {
  const ofHost = new Map<string | undefined, number>();
  for (const { host } of transfers) ofHost.set(host, (ofHost.get(host) ?? 0) + 1);
  let all = transfers.length + newcomers;
  return {
    hasTooManyOfHost: ({ host }) => (ofHost.get(host) ?? 0) > maxUncounted.host,
    hasTooMany: () => all > maxUncounted.all,
    remove(one) {
      all -= 1;
      ofHost.set(one.host, (ofHost.get(one.host) ?? 0) - 1);
      return one;
    },
  };
}

/**
 * The rate below which a transfer is slow, in bytes a second: a tenth of the median.
 *
 * @param isKnown - whether a transfer has ended, so that the usual rate is known.
 */
export function slowBelow(rates: readonly number[], isKnown: boolean): number {
  const sorted = rates.toSorted((one, other) => one - other);
  const least = isKnown ? leastRate.later : leastRate.atFirst;
  return Math.max(least, (sorted[sorted.length >> 1] ?? 0) / 10);
}
