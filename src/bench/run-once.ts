import { spawn } from 'node:child_process';
import { extname } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import * as z from 'zod';

import { ImageError } from '../internal.ts';
import type { ThreadSeconds } from './threads.ts';

export type Program = {
  /** The file of the command. */
  readonly bin: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** A command that starts the program, such as taskset with its arguments. Default none. */
  readonly launcher?: readonly string[];
};

/** The cost of a process from its start to its end. */
export type Usage = {
  readonly seconds: number;
  /** User and system time of all threads. */
  readonly cpuSeconds: number;
  /** By thread; `other` are Node's own threads, which compile, collect garbage and read files. */
  readonly threads: ThreadSeconds;
  /** Peak resident memory. */
  readonly peakBytes: number;
};

type Run = { readonly kind: 'done'; readonly usage: Usage } | Failure;
export type Failure = {
  readonly kind: 'failed';
  readonly exitCode: number;
  /** The beginning of the program's standard error. */
  readonly stderr: string;
};

const maxErrorText = 64 * 1024;
const resourceUsage = z.object({
  userCPUTime: z.number(),
  systemCPUTime: z.number(),
  maxRSS: z.number(),
  threads: z.record(z.string(), z.number()),
});

/** Runs the program in its own process, so that processor time and memory are those of the run alone. */
export async function runOnce({ bin, args, environment, launcher = [] }: Program, signal: AbortSignal): Promise<Run> {
  const command = [...launcher, process.execPath, programPath('measured'), bin, ...args];
  const run = await runCommand(command, { environment, hasChannel: true }, signal);
  return run.kind === 'failed' ? run : { kind: 'done', usage: { seconds: run.seconds, ...parseUsage(run.report) } };
}

type CommandOptions = {
  readonly environment: Program['environment'];
  /** Whether to open a channel, by whose end a Node program notices that of its parent. */
  readonly hasChannel?: boolean;
  readonly onStart?: (pid: number) => void;
};

/** Runs a command. What it writes to descriptor 3 is returned as its report. */
export async function runCommand(
  [file = '', ...args]: readonly string[],
  { environment, hasChannel = false, onStart }: CommandOptions,
  signal: AbortSignal,
): Promise<{ readonly kind: 'done'; readonly seconds: number; readonly report: string } | Failure> {
  signal.throwIfAborted();
  const startMs = performance.now();
  const child = spawn(file, args, {
    env: { ...environment },
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', ...(hasChannel ? (['ipc'] as const) : [])],
  });
  const ended = new Promise<number>((resolve) => {
    child.once('error', () => resolve(1));
    child.once('close', (code) => resolve(code ?? 1));
  });
  const exited = new Promise<number>((resolve) => child.once('exit', () => resolve(performance.now())));
  const kill = (): void => void child.kill('SIGKILL'); // its store is removed in any case
  signal.addEventListener('abort', kill);
  try {
    if (child.pid !== undefined) onStart?.(child.pid);
    const [, , stderr, pipe] = child.stdio;
    const [errorText, report] = await Promise.all([readText(stderr), readText(pipe)]);
    const exitCode = await ended;
    signal.throwIfAborted();
    if (exitCode !== 0) return { kind: 'failed', exitCode, stderr: errorText };
    return { kind: 'done', seconds: Math.round((await exited) - startMs) / 1000, report };
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

async function readText(stream: unknown): Promise<string> {
  let text = '';
  // Both are pipes from the child; the types allow for other values.
  for await (const chunk of stream as Readable) if (text.length < maxErrorText) text += String(chunk);
  return text.slice(0, maxErrorText);
}

function parseUsage(report: string): Omit<Usage, 'seconds'> {
  if (report === '') throw new ImageError('INTERNAL', 'a run has written no report', { what: 'bench' });
  const { userCPUTime, systemCPUTime, maxRSS, threads } = resourceUsage.parse(JSON.parse(report));
  const cpuSeconds = (userCPUTime + systemCPUTime) / 1e6;
  const known = Object.values(threads).reduce((sum, seconds) => sum + seconds, 0);
  const other = Math.max(0, cpuSeconds - known);
  return { cpuSeconds, threads: { ...threads, other }, peakBytes: maxRSS * 1024 };
}

/** The file of a program in this directory, in the sources or in the bundle. */
export function programPath(name: 'serve' | 'measured'): string {
  return fileURLToPath(new URL(`../bench/${name}${extname(import.meta.url)}`, import.meta.url));
}
