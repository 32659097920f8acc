import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { turns } from '../src/bench/sweep.ts';
import type { Measured } from './measure.ts';

/** The rounds of one contender of a case. */
export type Row = {
  readonly who: string;
  readonly isFloor: boolean;
  readonly rounds: readonly Measured[];
  /** Runs that do not count, because other processes disturbed them. */
  readonly discarded: number;
};

export type Contender = {
  readonly who: string;
  /** Whether it is the least time that the work can take here, with which the others are compared. Default no. */
  readonly isFloor?: boolean;
  /** Leaves everything as before, so that all rounds are equal. */
  readonly run: () => Promise<Measured>;
};

/** Writes to disk what earlier runs left: the next run would do it in their place. */
const settle = (): Promise<unknown> => promisify(execFile)('sync');

export type Rounds = {
  readonly rounds: number;
  /** The most tries for an undisturbed run. */
  readonly tries: number;
  /** Whether to begin with a round that does not count. */
  readonly warmUp: boolean;
};

/** The largest undisturbing share of the machine's processor time for other processes. */
export const maxShareOfOthers = 0.1;

/** The error of the kernel's counts, which have steps of 10 ms for each processor. */
const uncertainMs = 50;

export function isDisturbed({ others }: Pick<Measured, 'others'>): boolean {
  return others.share > maxShareOfOthers && others.ms > uncertainMs;
}

/**
 * Runs the contenders in turn. A disturbed run is repeated; if all tries were disturbed, the least disturbed one
 * counts.
 */
export async function takeTurns(
  contenders: readonly Contender[],
  { rounds, tries, warmUp }: Rounds,
): Promise<readonly Row[]> {
  const rows = contenders.map(({ who, isFloor = false, run }) => ({
    ...{ who, isFloor, run, discarded: 0 },
    rounds: [] as Measured[],
  }));
  for (const { round, whose } of turns(rows, rounds)) {
    if (round === 0 && !warmUp) continue;
    await settle();
    const runs = [await whose.run()];
    if (round === 0) continue;
    while (runs.length < tries && runs.every(isDisturbed)) {
      await settle();
      runs.push(await whose.run());
    }
    whose.rounds.push(runs.reduce((best, other) => (other.others.share < best.others.share ? other : best)));
    whose.discarded += runs.length - 1;
  }
  return rows;
}
