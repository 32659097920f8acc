import { turns } from '../src/bench/sweep.ts';
import type { Measured } from './measure.ts';

/** One contender of a case, with all its rounds. */
export type Row = {
  readonly who: string;
  readonly isFloor: boolean;
  readonly rounds: readonly Measured[];
  /** Runs that count for nothing because other processes disturbed them. */
  readonly discarded: number;
};

export type Contender = {
  readonly who: string;
  /** The least that the work can take here: the others are compared with it. Default no. */
  readonly isFloor?: boolean;
  /** Leaves everything as it was before, so that every round is the same. */
  readonly run: () => Promise<Measured>;
};

export type Rounds = {
  readonly rounds: number;
  /** How often a run is made, at most, until one is undisturbed. */
  readonly tries: number;
  /** Whether a round that does not count comes first. */
  readonly warmUp: boolean;
};

/** Of the machine's processor time. */
export const mostByOthers = 0.1;

/** What the kernel's own counting, in steps of 10 ms for each processor, may be wrong by. */
const uncertainMs = 50;

export function isDisturbed({ others }: Pick<Measured, 'others'>): boolean {
  return others.share > mostByOthers && others.ms > uncertainMs;
}

/** A run that other processes disturb is made again; of runs that were all disturbed the one that was least so counts. */
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
    const runs = [await whose.run()];
    if (round === 0) continue;
    while (runs.length < tries && runs.every(isDisturbed)) runs.push(await whose.run());
    whose.rounds.push(runs.reduce((best, other) => (other.others.share < best.others.share ? other : best)));
    whose.discarded += runs.length - 1;
  }
  return rows;
}
