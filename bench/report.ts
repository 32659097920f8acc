import { median } from '../src/bench/spread.ts';
import type { Measured } from './measure.ts';

/** One contender of a case, with all its rounds. */
export type Row = { readonly who: string; readonly rounds: readonly Measured[] };

type Contender = {
  readonly who: string;
  /** Leaves everything as it was before, so that every round is the same. */
  readonly run: () => Promise<Measured>;
};

/** Lets the contenders take turns, so that whatever else the machine does hits all of them; one round warms up. */
export async function takeTurns(contenders: readonly Contender[], rounds: number): Promise<readonly Row[]> {
  const rows = contenders.map(({ who }) => ({ who, rounds: [] as Measured[] }));
  for (let round = -1; round < rounds; round += 1) {
    for (const [index, { run }] of contenders.entries()) {
      const measured = await run();
      if (round >= 0) rows[index]?.rounds.push(measured);
    }
  }
  return rows;
}

/** A table in which the first row is the measure of all others. */
export function formatRows(rows: readonly Row[]): string {
  const [first] = rows;
  const of = (row: Row | undefined, pick: (measured: Measured) => number): number =>
    median((row?.rounds ?? []).map(pick));
  const line = (row: Row): string => {
    const walls = row.rounds.map(({ wallMs }) => wallMs / 1000);
    const wall = of(row, ({ wallMs }) => wallMs);
    const cpu = of(row, ({ cpuMs }) => cpuMs);
    return [
      row.who,
      `${(wall / 1000).toFixed(2)} s (${Math.min(...walls).toFixed(2)}–${Math.max(...walls).toFixed(2)})`,
      `${(cpu / 1000).toFixed(2)} s`,
      `${of(row, ({ peakMiB }) => peakMiB).toFixed(0)} MiB`,
      (wall / of(first, ({ wallMs }) => wallMs)).toFixed(2),
      (cpu / of(first, ({ cpuMs }) => cpuMs)).toFixed(2),
    ].join(' | ');
  };
  const head = ['who', 'wall, median (min–max)', 'processor', 'peak memory', 'wall ratio', 'processor ratio'];
  return [head.join(' | '), head.map(() => '---').join('|'), ...rows.map(line)].map((text) => `| ${text} |`).join('\n');
}
