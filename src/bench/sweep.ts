import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { watchMachine } from './machine.ts';
import { readEvents, type Told } from './read-events.ts';
import { runOnce, type Failure, type Program, type Usage } from './run-once.ts';

export type Setting = { readonly jobs: number; readonly workers: number };

export type Measured = Usage &
  Told & {
    /** Of the whole machine, 0 to 1. */
    readonly machineBusy: number;
  };

export type SweepOptions = {
  readonly settings: readonly Setting[];
  readonly rounds: number;
  /** The program; its arguments are those of a fetch, without what a setting adds. */
  readonly program: Program;
  /** Options that a setting becomes. */
  readonly argsOf: (setting: Setting) => readonly string[];
  /** Where stores come and go. */
  readonly scratch: string;
  /** Told before each round; 0 warms up. */
  readonly onRound: (round: number) => void;
};

export type Sweep =
  | { readonly kind: 'done'; readonly measured: readonly { readonly setting: Setting; readonly runs: Measured[] }[] }
  | Failure;

/** Lets the settings take turns, so that whatever else the machine does hits all of them. Ends at the first failure. */
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

/** Whose turn it is, in one round after the other. Round 0 warms up. */
export function* turns<C>(
  contenders: readonly C[],
  rounds: number,
): Generator<{ readonly round: number; readonly whose: C; readonly isFirst: boolean }> {
  for (let round = 0; round <= rounds; round += 1)
    for (const [at, whose] of contenders.entries()) yield { round, whose, isFirst: at === 0 };
}

/** Where the events of a setting's last run are. */
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
  const args = ['fetch', ...own, ...program.args]; // which may end in operands
  const machineBusy = watchMachine();
  const run = await runOnce({ ...program, args }, signal);
  if (run.kind === 'failed') return run;
  const measured = { ...run.usage, machineBusy: machineBusy(), ...(await readEvents(events)) };
  await rm(store, { recursive: true, force: true });
  return { kind: 'done', measured };
}
