import { showReference } from '../index.ts';
import { commands } from './commands.ts';
import type { Io } from './io.ts';
import type { CommandLine } from './options/command-line.ts';
import { usageError } from './options/usage-error.ts';
import { exitCodes } from './output/exit-code.ts';
import { write } from './output/write.ts';
import { formatOverview } from './parser.ts';
import { readVersion } from './version.ts';

const title = 'longshore fills image stores in bulk: it brings images and all they depend on, verified, resumable.';

/** Answers a command line without a command: with help where it was asked for. @throws USAGE for words that are none */
export async function showOverview(line: CommandLine, args: readonly string[], io: Io): Promise<number> {
  const isAsked = args.includes('--help') || args.includes('-h');
  const [first, second] = line.operands.map(({ text }) => text);
  if (args.includes('--version') && first === undefined) {
    await write(io.stdout, `${readVersion()}\n`);
    return exitCodes.success;
  }
  const group = commands.filter(({ name }) => first === undefined || name.startsWith(`${first} `));
  if (group.length === 0 || (second !== undefined && !isAsked)) {
    const words = [first, group.length > 0 ? second : undefined]
      .filter((word) => word !== undefined)
      .map(showReference)
      .join(' ');
    const known = (group.length > 0 ? group : commands).map(({ name }) => name).join(', ');
    throw usageError(`no command "${words}"; there are ${known}`);
  }
  const help = await formatOverview(title, group);
  await write(isAsked ? io.stdout : io.stderr, `${help}\n`);
  return isAsked ? exitCodes.success : exitCodes.usage;
}
