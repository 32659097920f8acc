import { execFile, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';

import { watchOthers, type Others } from './watch-others.ts';

export type Measured = {
  readonly wallMs: number;
  /** User and system time of the command and all its children. */
  readonly cpuMs: number;
  /** Peak resident memory of the largest process of the command. */
  readonly peakMiB: number;
  /** What other processes did meanwhile. */
  readonly others: Others;
  /** What else a case found out of this run, by the heading of its column. */
  readonly facts?: Readonly<Record<string, number>>;
};

/** Runs a command under bash's own clock. @throws with its standard error unless it ends with 0. */
export async function measure(
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Measured> {
  const script = 'TIMEFORMAT="%3R %3U %3S"; time "$@"';
  await promisify(execFile)('sync'); // what others left to be written is not this one's
  const others = await watchOthers();
  const child = spawn('bash', ['-c', script, 'bench', ...command], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const peak = watchPeak(child.pid ?? 0, ended);
  const stderr = await text(child.stderr);
  if ((await ended) !== 0) throw new Error(`${command.join(' ')} failed:\n${stderr}`);
  const [wall = 0, user = 0, system = 0] = (stderr.trimEnd().split('\n').at(-1) ?? '').split(' ').map(Number);
  return {
    wallMs: wall * 1000,
    cpuMs: (user + system) * 1000,
    peakMiB: (await peak) / 1024,
    others: await others(),
  };
}

/** Between two looks at the peaks: a tenth of what has passed, since to look takes time from what is measured. */
const lookMs = { least: 20, most: 200 };

/** The kernel keeps each process's own peak, so looking now and then is enough; what comes after the last look is missed. In KiB. */
async function watchPeak(bash: number, ended: Promise<unknown>): Promise<number> {
  let peak = 0;
  let isOver = false;
  const beganMs = performance.now();
  void ended.then(() => (isOver = true));
  while (!isOver) {
    const children = await readFile(`/proc/${bash}/task/${bash}/children`, 'utf8').catch(() => '');
    for (const pid of children.trim().split(' ').filter(Boolean)) {
      const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
      peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    }
    const pauseMs = Math.min(lookMs.most, Math.max(lookMs.least, (performance.now() - beganMs) / 10));
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return peak;
}
