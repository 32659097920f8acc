import { asImageError, toErrorData } from '../index.ts';
import { commands } from './commands.ts';
import type { Io } from './io.ts';
import { parseCommandLine } from './options/command-line.ts';
import { unknownVariables } from './options/environment.ts';
import { isPlain } from './options/is-plain.ts';
import { isOn } from './options/read.ts';
import { optionTable } from './options/table.ts';
import { causeLines, errorLine } from './output/error-line.ts';
import { exitCodeOf, exitCodes } from './output/exit-code.ts';
import { write } from './output/write.ts';

/** Finds the command and runs it. @returns the exit code; everything that ends a command has been said by then. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  let debug = args.includes('--debug');
  try {
    const line = parseCommandLine(args, optionTable, io.environment);
    debug = isOn(line, 'debug');
    const command = commands.find(({ name }) => name === line.command);
    if (!command) return await (await import('./overview.ts')).showOverview(line, args, io);
    if (!isPlain(command, line.argv)) {
      const { checkArguments } = await import('./parser.ts');
      if (!(await checkArguments(command, line.argv))) return exitCodes.success;
    }
    if (command.name !== 'fetch') await warn(io); // fetch has forms of its own for warnings
    const runCommand = await command.load();
    return await runCommand(io, line);
  } catch (error) {
    if (io.signal.aborted) return exitCodes.unforeseen; // whoever aborted knows the code and the reason
    const known = asImageError(error);
    const lines = [errorLine(toErrorData(known)), ...(debug ? causeLines(known) : [])];
    await write(io.stderr, lines.map((text) => `${text}\n`).join(''));
    return exitCodeOf(toErrorData(known));
  }
}

async function warn({ stderr, environment }: Io): Promise<void> {
  for (const message of unknownVariables(optionTable, environment)) await write(stderr, `warning: ${message}\n`);
}
