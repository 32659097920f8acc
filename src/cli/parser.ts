import yargs, { type Argv } from 'yargs';

import { showUrlsIn } from '../index.ts';
import type { Command } from './command.ts';
import { appliesTo, type OptionSpec } from './options/option.ts';
import { optionTable } from './options/table.ts';
import { usageError } from './options/usage-error.ts';
import { readVersion } from './version.ts';

const maxColumns = 100;

/**
 * Checks the arguments of a command: unknown options, too few or too many operands.
 *
 * @returns the help or the version, where that was asked for. @throws USAGE
 */
export async function checkArguments(command: Command, argv: readonly string[]): Promise<string | undefined> {
  let isComplete = false;
  const parser = bare(argv, `longshore ${command.name}`).command(
    `$0 ${command.operands}`.trim(), // yargs takes the space alone for an operand
    command.summary,
    (options) => describe(options, command),
    () => {
      isComplete = true;
    },
  );
  const printed = await new Promise<string>((resolve, reject) => {
    const end = (error: Error | undefined, _argv: unknown, output: string): void =>
      error ? reject(error) : resolve(output);
    Promise.resolve(parser.parse([...argv], {}, end)).catch(reject);
  });
  return isComplete ? undefined : printed;
}

/** Help on several commands: all of them, or those of a group. */
export async function formatOverview(title: string, commands: readonly Command[]): Promise<string> {
  const parser = bare([], 'longshore').usage(title);
  for (const { name, operands, summary } of commands) parser.command(`${name} ${operands}`, summary);
  return parser.epilogue('longshore COMMAND --help shows the options of a command, and examples.').getHelp();
}

function bare(argv: readonly string[], scriptName: string): Argv {
  return yargs([...argv], '/') // it looks for settings of its own in a directory, which may not be there any more
    .scriptName(scriptName)
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'greedy-arrays': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .locale('en')
    .wrap(Math.min(maxColumns, process.stdout.columns || maxColumns))
    .exitProcess(false)
    .help()
    .alias('help', 'h')
    .version(readVersion())
    .strict()
    .fail((message: string | null, error: Error | undefined) => {
      throw error ?? usageError(showUrlsIn((message ?? 'cannot be understood').replaceAll(/\s*\n\s*/g, ' ')));
    });
}

function describe(parser: Argv, { name, examples }: Command): Argv {
  for (const spec of optionTable) if (appliesTo(spec, name)) parser.option(spec.name, toYargs(spec));
  parser.epilogue('Every option but --signature is also LONGSHORE_<NAME> in the environment.');
  for (const [line, what] of examples) parser.example(`longshore ${line}`, what);
  return parser;
}

function toYargs({ short, kind, choices, help, placeholder }: OptionSpec) {
  return {
    ...(short && { alias: short }),
    ...(choices && { choices }),
    type: kind === 'flag' ? ('boolean' as const) : ('string' as const),
    describe: placeholder ? `${help} (${placeholder})` : help,
  };
}
