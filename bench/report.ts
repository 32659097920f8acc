import { median, spreadOf } from '../src/bench/result.ts';
import type { Measured } from './measure.ts';
import { isDisturbed, maxShareOfOthers, type Row } from './take-turns.ts';

/** A row of results, as one line of JSON. */
export type Summary = {
  readonly who: string;
  /** Medians of all rounds. */
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly peakMiB: number;
  readonly facts: Readonly<Record<string, number>>;
  /** Runs repeated because other processes disturbed them, and rounds without an undisturbed run. */
  readonly discarded: number;
  readonly disturbed: number;
};

export function summarise({ who, rounds, discarded }: Row): Summary {
  const of = (pick: (measured: Measured) => number): number => median(rounds.map(pick));
  const facts = Object.keys(rounds[0]?.facts ?? {});
  return {
    who,
    wallMs: of(({ seconds }) => seconds * 1000),
    cpuMs: of(({ cpuSeconds }) => cpuSeconds * 1000),
    peakMiB: of(({ peakBytes }) => peakBytes / 1024 ** 2),
    facts: Object.fromEntries(facts.map((name) => [name, of((measured) => measured.facts?.[name] ?? NaN)])),
    discarded,
    disturbed: rounds.filter(isDisturbed).length,
  };
}

/** A table in which all rows are compared with the first one, and with the floor if there is one. */
export function formatRows(rows: readonly Row[]): string {
  const first = rows[0] && summarise(rows[0]);
  const floorRow = rows.find(({ isFloor }) => isFloor);
  const floor = floorRow && summarise(floorRow);
  const facts = [...new Set(rows.flatMap((row) => Object.keys(summarise(row).facts)))];
  const line = (row: Row): readonly string[] => {
    const sum = summarise(row);
    const { median: wall, min, max } = spreadOf(row.rounds.map(({ seconds }) => seconds));
    const ratios = (to: Summary | undefined): readonly string[] =>
      to === undefined ? [] : [ratio(sum.wallMs, to.wallMs), ratio(sum.cpuMs, to.cpuMs)];
    return [
      row.who,
      `${wall.toFixed(2)} s (${min.toFixed(2)}–${max.toFixed(2)})`,
      `${(sum.cpuMs / 1000).toFixed(2)} s`,
      `${sum.peakMiB.toFixed(0)} MiB`,
      ...ratios(first),
      ...ratios(floor),
      ...facts.map((name) => sum.facts[name]?.toFixed(1) ?? ''),
    ];
  };
  const head = [
    ...['who', 'wall, median (min–max)', 'processor', 'peak memory', 'wall ratio', 'processor ratio'],
    ...(floor ? ['wall to floor', 'processor to floor'] : []),
    ...facts,
  ];
  return [formatTable(head, rows.map(line)), '', ...disturbances(rows)].join('\n');
}

/** Formats a Markdown table. */
export function formatTable(head: readonly string[], lines: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function ratio(value: number, to: number): string {
  return (value / to).toFixed(2);
}

function disturbances(rows: readonly Row[]): readonly string[] {
  const summaries = rows.map(summarise);
  const rounds = rows.reduce((sum, row) => sum + row.rounds.length, 0);
  const discarded = summaries.reduce((sum, row) => sum + row.discarded, 0);
  const disturbed = summaries.reduce((sum, row) => sum + row.disturbed, 0);
  const limit = `more than ${maxShareOfOthers * 100} % of the machine`;
  if (disturbed === rounds) return [`The machine was never quiet: in every run others took ${limit}.`];
  return [
    `Discarded because others took ${limit}: ${discarded} of ${rounds + discarded} runs.`,
    ...(disturbed > 0 ? [`No quiet run for ${disturbed} of ${rounds}: the least disturbed one counts.`] : []),
  ];
}
