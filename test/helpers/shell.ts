import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import type { ExecutionContext } from 'ava';

import { compileCache } from './built.ts';
import { environmentIn } from './environment.ts';
import { bin } from './run-cli.ts';
import { temporaryDirectory } from './stored.ts';
import { writeProgram } from './write-program.ts';

type ShellResult = {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
};

type Running = { readonly child: ChildProcessWithoutNullStreams; readonly result: Promise<ShellResult> };

export type Shell = {
  /** The working directory, empty at first; the store is `store` in it. */
  readonly directory: string;
  /** Runs a line of sh(1) in which `longshore` is the command. */
  run(this: void, line: string, environment?: Readonly<Record<string, string>>): Promise<ShellResult>;
  /** The same, not yet ended. Signals reach longshore itself where the line begins with `exec`. */
  start(this: void, line: string, environment?: Readonly<Record<string, string>>): Running;
};

/** A real shell in a directory of its own, with nothing in the environment but what longshore needs. */
export async function openShell(t: ExecutionContext, nodeOptions = ''): Promise<Shell> {
  const directory = await temporaryDirectory(t);
  const program = `#!/bin/sh\nexec '${process.execPath}' ${nodeOptions} '${bin}' "$@"\n`;
  await writeProgram(join(directory, 'longshore'), program);
  const base = {
    PATH: `${directory}:/usr/bin:/bin`,
    ...environmentIn(directory),
    NODE_COMPILE_CACHE: compileCache,
  };
  const start: Shell['start'] = (line, environment = {}) => {
    const options = { cwd: directory, env: { ...base, ...environment }, detached: true };
    const child = spawn('/bin/sh', ['-c', line], options);
    child.stdin.end();
    t.teardown(() => killGroup(child));
    return { child, result: ending(child) };
  };
  return { directory, start, run: (line, environment) => start(line, environment).result };
}

async function ending(child: ChildProcessWithoutNullStreams): Promise<ShellResult> {
  const ended = once(child, 'close');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code, signal] = (await ended) as [number | null, NodeJS.Signals | null];
  return { code, signal, stdout, stderr };
}

/** The shell leads a group of its own: whatever it has started ends with it. */
function killGroup({ pid }: ChildProcessWithoutNullStreams): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // all of them have ended already
  }
}
