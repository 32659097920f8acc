/** What the tries of one download have brought, and whether that is enough to count them anew. @see docs/rules.md H11 */
export type Progress = {
  /** A try begins with so many bytes. */
  begin(bytes: number): void;
  /** After a try has failed. @returns true once enough has come since the count began */
  isEnough(tried: Tried): boolean;
};

export type Tried = {
  /** The most bytes that there were during the try. */
  readonly bytes: number;
  /** Of the whole body, if that is known. */
  readonly total: number | undefined;
  readonly hasStalled: boolean;
};

/**
 * Tries are counted anew after the larger of 64 KiB and 1 % of the rest, or after all of the rest. What a stalled try
 * brought counts only if it was 1 % by itself: otherwise a server could drip for ever. Where nobody knows the rest, it is
 * taken to be as much as has come.
 *
 * @param bytes - that are there before the first try.
 */
export function createProgress(bytes: number): Progress {
  /** Where the count began, and where the try did. */
  let counted = bytes;
  let begun = bytes;
  return {
    begin(now) {
      begun = now;
      counted = Math.min(counted, now);
    },
    isEnough({ bytes: now, total, hasStalled }) {
      const rest = restOf(begun, total);
      if (hasStalled && now - begun < rest / 100) counted += Math.max(0, now - begun);
      if (now - counted < leastProgress(counted, total)) return false;
      counted = now;
      return true;
    },
  };
}

/** Bytes that have to come before anybody may speak of progress. @param bytes - that are there already. */
export function leastProgress(bytes: number, total: number | undefined): number {
  const least = Math.max(64 * 1024, restOf(bytes, total) / 100);
  return total === undefined ? least : Math.max(1, Math.min(total - bytes, least));
}

function restOf(bytes: number, total: number | undefined): number {
  return total === undefined ? bytes : total - bytes;
}
