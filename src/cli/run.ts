import { setImmediate } from 'node:timers/promises';

import { asImageError, ImageError, isImageError } from '../internal.ts';
import { debugLog } from '../system/debug.ts';
import { errnoOf } from '../system/errno.ts';
import type { Io } from './command.ts';
import { commands } from './commands.ts';
import { type CommandLine, isPlain, parseCommandLine } from './options/command-line.ts';
import { environmentWarnings } from './options/environment.ts';
import { isOn } from './options/read.ts';
import { optionTable } from './options/table.ts';
import { causeLines, errorLine, outputFailed } from './output/error-line.ts';
import { exitCodeOf, exitCodes, sharedExitCode } from './output/exit-code.ts';
import { write, written } from './output/write.ts';

const debug = debugLog('cli');

/**
 * Finds and runs the command.
 *
 * @returns the exit code, once the standard output is written. An error that ended the command has been reported by
 * then.
 */
export async function run(args: readonly string[], io: Io): Promise<number> {
  let failure = io.stdout.errored ?? undefined;
  io.stdout.on('error', (error) => (failure ??= error));
  const exitCode = await runCommand(args, io, () => failure !== undefined);
  await written(io.stdout);
  await setImmediate(); // a stream reports a failed write only after the call has returned
  if (!failure || errnoOf(failure) === 'EPIPE') return exitCode; // the reader has seen enough
  return fail([outputFailed('the standard output', failure)], io, args.includes('--debug'));
}

/** @param isCut - whether the standard output is closed: errors of a command are then a consequence of that. */
async function runCommand(args: readonly string[], io: Io, isCut: () => boolean): Promise<number> {
  let showsCauses = args.includes('--debug');
  try {
    const line = parseCommandLine(args, optionTable, io.environment);
    showsCauses = isOn(line, 'debug');
    const command = commands.find(({ name }) => name === line.command);
    if (!command) return await (await import('./parser.ts')).showOverview(line, args, io);
    if (!isPlain(command, line.argv)) {
      const { checkArguments } = await import('./parser.ts');
      const answer = await checkArguments(command, line.argv);
      if (answer !== undefined) {
        await write(io.stdout, `${answer}\n`);
        return exitCodes.success;
      }
    }
    if (command.name !== 'fetch') await warn(io); // fetch writes warnings in its own formats
    debug(
      () => `${command.name}: ${line.operands.length} operands; options: ${optionsGiven(line).join(', ') || 'none'}`,
    );
    const runCommand = await command.load();
    const exitCode = await runCommand(io, line);
    debug(() => `${command.name}: ends with ${exitCode}`);
    return exitCode;
  } catch (error) {
    if (io.signal.aborted || isCut()) return exitCodes.unforeseen; // the code that aborted knows exit code and reason
    return fail(errorsOf(error), io, showsCauses);
  }
}

/** All that ended a command: several errors where they are told at once. */
function errorsOf(error: unknown): readonly ImageError[] {
  if (error instanceof AggregateError && error.errors.length > 0 && error.errors.every(isImageError))
    return error.errors;
  return [isDirectoryGone(error) ? directoryGone(error) : asImageError(error)];
}

/** Only the names: a value may be a secret. */
function optionsGiven(line: CommandLine): readonly string[] {
  return line.argv.flatMap((text) => /^--[^=]+/.exec(text)?.[0] ?? []);
}

/** Whether the working directory no longer exists: relative paths need it, and many calls ask for it. */
function isDirectoryGone(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'uv_cwd';
}

function directoryGone(cause: unknown): ImageError {
  const message = 'the working directory no longer exists, or may not be entered';
  return new ImageError('FILE_NOT_FOUND', message, { path: '.' }, { cause });
}

async function fail(errors: readonly ImageError[], { stderr }: Io, showsCauses: boolean): Promise<number> {
  const lines = errors.flatMap((error) => [errorLine(error), ...(showsCauses ? causeLines(error) : [])]);
  await write(stderr, lines.map((text) => `${text}\n`).join(''));
  return sharedExitCode(errors.map(exitCodeOf));
}

async function warn({ stderr, environment }: Io): Promise<void> {
  for (const message of environmentWarnings(optionTable, environment)) await write(stderr, `warning: ${message}\n`);
}
