import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import type { Io } from '../../src/cli/command.ts';
import type { run as Run } from '../../src/cli/run.ts';
import { commandFile } from './built.ts';
import type { CliResult } from './run-cli.ts';

// the built file has the types of its source
const { run } = (await import(commandFile('run'))) as { run: typeof Run };

/**
 * Runs longshore's command line in this process: as runCli, without the time that a process takes to start.
 *
 * @param output - takes the standard output instead; the result has none of it then.
 * @param signal - is aborted where a process would be interrupted.
 */
export async function runHere(
  args: readonly string[],
  environment: Io['environment'] = {},
  output?: Io['stdout'],
  signal = new AbortController().signal,
): Promise<CliResult> {
  const [pipe, stderr] = [new PassThrough(), new PassThrough()];
  const stdout = output ?? pipe;
  const [results, errors] = [buffer(pipe), buffer(stderr)];
  const code = await run(args, {
    stdin: process.stdin,
    stdout,
    stderr: stderr as unknown as Io['stderr'], // no command asks it for more than a pipe has
    environment,
    signal,
    awaits: () => undefined,
    endsBySignal: () => undefined,
  });
  pipe.end();
  stderr.end();
  const [bytes, messages] = await Promise.all([results, errors]);
  return { code, bytes, stdout: bytes.toString(), stderr: messages.toString() };
}
