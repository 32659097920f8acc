import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { watchMachine } from './machine.ts';
import { type EventSummary, readEvents } from './read-events.ts';
import { type Failure, type Program, runOnce, type Usage } from './run-once.ts';

export type Setting = { readonly jobs: number; readonly workers: number };

export type Measured = Usage &
  EventSummary & {
    /** For the whole machine, 0 to 1. */
    readonly machineBusy: number;
  };

export type SweepOptions = {
  readonly settings: readonly Setting[];
  readonly rounds: number;
  /** The program with the arguments of a fetch, without those of a setting. */
  readonly program: Program;
  /** The options for a setting. */
  readonly argsOf: (setting: Setting) => readonly string[];
  /** The directory for stores. */
  readonly scratch: string;
  /** Called before each round; 0 is the warm-up. */
  readonly onRound: (round: number) => void;
};

export type Sweep =
  | { readonly kind: 'done'; readonly measured: readonly { readonly setting: Setting; readonly runs: Measured[] }[] }
  | Failure;

/** Runs the settings in turn, so that other load of the machine affects all of them. Ends at the first failure. */
export async function sweep(options: SweepOptions, signal: AbortSignal): Promise<Sweep> {
  const { settings, rounds, onRound } = options;
  const measured = settings.map((setting) => ({ setting, runs: [] as Measured[] }));
  for (const { round, whose, isFirst } of turns(measured, rounds)) {
    if (isFirst) onRound(round);
    const run = await measure(options, whose.setting, signal);
    if (run.kind === 'failed') return run;
    if (round > 0) whose.runs.push(run.measured);
  }
  return { kind: 'done', measured };
}

/** The contenders in turn, round after round. Round 0 is the warm-up. */
export function* turns<C>(
  contenders: readonly C[],
  rounds: number,
): Generator<{ readonly round: number; readonly whose: C; readonly isFirst: boolean }> {
  for (let round = 0; round <= rounds; round += 1)
    for (const [at, whose] of contenders.entries()) yield { round, whose, isFirst: at === 0 };
}

/** The file of events of a setting's last run. */
export function eventsOf(scratch: string, { jobs, workers }: Setting): string {
  return join(scratch, `events-${jobs}-${workers}`);
}

async function measure(
  { program, argsOf, scratch }: SweepOptions,
  setting: Setting,
  signal: AbortSignal,
): Promise<{ readonly kind: 'done'; readonly measured: Measured } | Failure> {
  const [store, events] = [join(scratch, 'store'), eventsOf(scratch, setting)];
  const own = [...argsOf(setting), '--progress=none', `--dir=${store}`, `--events=${events}`];
  const args = ['fetch', ...own, ...program.args]; // the last may be operands
  const machineBusy = watchMachine();
  const run = await runOnce({ ...program, args }, signal);
  if (run.kind === 'failed') return run;
  const measured = { ...run.usage, machineBusy: machineBusy(), ...(await readEvents(events)) };
  await rm(store, { recursive: true, force: true });
  return { kind: 'done', measured };
}
