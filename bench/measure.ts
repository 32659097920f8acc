import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import { type Failure, type Program, runCommand, runOnce, type Usage } from '../src/bench/run-once.ts';
import { type Others, watchOthers } from './watch-others.ts';

/** The cost of a command with all its children; the memory is that of its largest process. */
export type Measured = Omit<Usage, 'threads'> & {
  /** The processor time of other processes during the run. */
  readonly others: Others;
  /** Other measurements of a case, by the heading of their column. */
  readonly facts?: Readonly<Record<string, number>>;
};

/** A benchmark is ended by ending all its processes. */
export const never = new AbortController().signal;

/** Writes the times of a command with its children to descriptor 3. */
const timed = 'TIMEFORMAT="%3R %3U %3S"; { time "$@" 2>&4 3>&- 4>&-; } 4>&2 2>&3';

/** Runs a command and measures it with bash. @throws an error with its standard error unless it ends with 0 */
export async function measure(
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Measured> {
  return await observe(command.join(' '), async () => {
    const stop = new AbortController();
    let peak = Promise.resolve(0);
    const onStart = (pid: number): void => void (peak = watchPeak(pid, stop.signal));
    const environment = { ...process.env, ...env };
    const run = await runCommand(['bash', '-c', timed, 'bench', ...command], { environment, onStart }, never);
    stop.abort();
    if (run.kind === 'failed') return run;
    const [seconds = 0, user = 0, system = 0] = run.report.split(' ').map(Number);
    return { kind: 'done', usage: { seconds, cpuSeconds: user + system, peakBytes: await peak } };
  });
}

/** The heading for the processor time of a program's main thread. */
export const mainThread = 'main thread, ms';

/** Runs a longshore command in a process that reports the processor time of each thread. */
export async function measureThreads(program: Omit<Program, 'environment'>): Promise<Measured> {
  let mainMs = NaN;
  const measured = await observe(program.args.join(' '), async () => {
    const run = await runOnce({ ...program, environment: process.env }, never);
    if (run.kind === 'done') mainMs = (run.usage.threads['main'] ?? NaN) * 1000;
    return run;
  });
  return { ...measured, facts: { [mainThread]: mainMs } };
}

type Run = { readonly kind: 'done'; readonly usage: Omit<Usage, 'threads'> } | Failure;

async function observe(what: string, run: () => Promise<Run>): Promise<Measured> {
  await promisify(execFile)('sync'); // other processes' pending writes do not count for this run
  const others = await watchOthers();
  const ran = await run();
  if (ran.kind === 'failed') throw new Error(`${what} failed:\n${ran.stderr}`);
  const { seconds, cpuSeconds, peakBytes } = ran.usage;
  return { seconds, cpuSeconds, peakBytes, others: await others() };
}

/** Time between two reads of the peaks: a tenth of the time so far, since reading takes time itself. */
const lookMs = { least: 20, most: 200 };

/**
 * The kernel keeps the peak of each process, so reading it from time to time suffices; growth after the last read is
 * missed.
 */
async function watchPeak(parent: number, stop: AbortSignal): Promise<number> {
  let peak = 0;
  const beganMs = performance.now();
  while (!stop.aborted) {
    const children = await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8').catch(() => '');
    for (const pid of children.trim().split(' ').filter(Boolean)) peak = Math.max(peak, await peakOf(Number(pid)));
    const pauseMs = Math.min(lookMs.most, Math.max(lookMs.least, (performance.now() - beganMs) / 10));
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return peak;
}

/** The processor time of a running process, with its threads, in seconds. @see proc_pid_stat(5) */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The peak memory of one process in bytes; 0 once it has ended. */
export async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
}
