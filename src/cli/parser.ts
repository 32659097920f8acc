import yargs, { type Argv } from 'yargs';

import { showReference, showUrlsIn } from '../internal.ts';
import type { Command, Io } from './command.ts';
import { commands } from './commands.ts';
import type { CommandLine } from './options/command-line.ts';
import { appliesTo, optionGroups, type OptionSpec, usageError } from './options/option.ts';
import { didYouMean, nearestOf } from './options/suggestion.ts';
import { optionTable } from './options/table.ts';
import { exitCodes } from './output/exit-code.ts';
import { write } from './output/write.ts';
import { readVersion } from './version.ts';

const maxColumns = 100;
const columns = (): number => Math.min(maxColumns, process.stdout.columns || maxColumns);

/**
 * Checks the arguments of a command for unknown options and the number of operands.
 *
 * @returns the text of help or version, if requested. @throws USAGE
 */
export async function checkArguments(command: Command, argv: readonly string[]): Promise<string | undefined> {
  let isComplete = false;
  const parser = bare(argv, `longshore ${command.name}`, optionsOf(command)).command(
    `$0 ${isHelp(argv) ? command.operands : variadicLast(command.operands)}`.trim(), // yargs takes a single space for an operand
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
  if (isComplete) return undefined;
  return isHelp(argv) ? `${printed}\n\n${formatExamples(command)}\n\n${atEnd}` : printed;
}

function isHelp(argv: readonly string[]): boolean {
  return argv.some((text) => text === '--help' || text === '-h');
}

/** As yargs counts operands: one that may be there several times has to be the last. */
function variadicLast(operands: string): string {
  const isVariadic = (operand: string): number => Number(operand.includes('...'));
  return operands
    .split(' ')
    .toSorted((a, b) => isVariadic(a) - isVariadic(b))
    .join(' ');
}

/** Help for several commands: all of them, or those of a group. */
export async function formatOverview(title: string, commands: readonly Command[]): Promise<string> {
  const parser = bare([], 'longshore').usage(title);
  for (const { name, operands, summary } of commands) parser.command(`${name} ${operands}`, summary);
  return parser.epilogue('longshore COMMAND --help shows the options of a command, and examples.').getHelp();
}

function optionsOf({ name }: Command): readonly OptionSpec[] {
  return optionTable.filter((spec) => appliesTo(spec, name));
}

function bare(argv: readonly string[], scriptName: string, own: readonly OptionSpec[] = []): Argv {
  // yargs looks for its settings in this directory; the working directory may no longer exist
  return yargs([...argv], '/')
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
    .wrap(columns())
    .exitProcess(false)
    .help()
    .alias('help', 'h')
    .version(readVersion())
    .strict()
    .fail((message: string | null, error: Error | undefined) => {
      const line = (message ?? 'cannot be understood').replaceAll(/\s*\n\s*/g, ' ');
      throw error ?? usageError(showUrlsIn(line) + nearOptions(line, own));
    });
}

/** What was probably meant, for the message that names unknown options. */
function nearOptions(message: string, own: readonly OptionSpec[]): string {
  const unknown = /^Unknown arguments?: (.*)$/.exec(message)?.[1]?.split(', ') ?? [];
  const names = [...own.map(({ name }) => name), 'help', 'version'];
  const near = unknown.flatMap((word) => nearestOf(word, names) ?? []).map((name) => `--${name}`);
  return near.length === 0 ? '' : `; did you mean ${near.join(', ')}?`;
}

function describe(parser: Argv, command: Command): Argv {
  const own = optionsOf(command);
  for (const spec of own) parser.option(spec.name, toYargs(spec));
  for (const group of optionGroups) {
    const names = own.filter((spec) => spec.group === group).map((spec) => spec.name);
    parser.group([...names, ...(group === 'Other' ? ['help', 'version'] : [])], `${group}:`);
  }
  return parser;
}

const atEnd = 'Every option but --signature is also LONGSHORE_<NAME> in the environment.';

/** The examples of a command, as a shell takes them: a line is broken only before an option. yargs would break it anywhere. */
function formatExamples({ examples }: Command): string {
  const shown = examples.flatMap(([line, what]) => [
    `  ${fold(`longshore ${line}`.split(/ (?=--?[a-z])/), columns() - 4).join(' \\\n    ')}`,
    `      ${fold(what.split(' '), columns() - 6).join('\n      ')}`,
  ]);
  return ['Examples:', ...shown].join('\n');
}

/** Joins parts to lines of at most so many characters, where that is possible. */
function fold(parts: readonly string[], most: number): readonly string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const longer = `${lines.at(-1) ?? ''} ${part}`;
    if (lines.length > 0 && longer.length <= most) lines[lines.length - 1] = longer;
    else lines.push(part);
  }
  return lines;
}

function toYargs({ short, kind, choices, help, placeholder }: OptionSpec) {
  return {
    ...(short && { alias: short }),
    ...(choices && { choices }),
    type: kind === 'flag' ? ('boolean' as const) : ('string' as const),
    describe: placeholder ? `${help} (${placeholder})` : help,
  };
}

const title = 'longshore fills image stores in bulk: it brings images and all they depend on, verified, resumable.';

/**
 * Answers a command line without a command: shows help or the version if requested.
 *
 * @throws USAGE for words that are no command, and for options before them that no command has
 */
export async function showOverview(line: CommandLine, args: readonly string[], io: Io): Promise<number> {
  const isAsked = isHelp(args);
  const [first, second] = line.operands.map(({ text }) => text);
  const group = commands.filter(({ name }) => first === undefined || name.startsWith(`${first} `));
  if (args.includes('--version') && !isAsked && group.length > 0 && second === undefined) {
    await write(io.stdout, `${readVersion()}\n`);
    return exitCodes.success;
  }
  const unknown = unknownOptions(group.length > 0 ? args : args.slice(0, args.indexOf(first ?? '')));
  if (unknown.length > 0 && !isAsked) {
    const message = `Unknown ${unknown.length > 1 ? 'arguments' : 'argument'}: ${unknown.join(', ')}`;
    throw usageError(showUrlsIn(message) + nearOptions(message, optionTable));
  }
  if (group.length === 0 || (second !== undefined && !isAsked)) {
    const words = [first, group.length > 0 ? second : undefined]
      .filter((word) => word !== undefined)
      .map(showReference)
      .join(' ');
    const known = (group.length > 0 ? group : commands).map(({ name }) => name);
    const asked = [first, second].join(' ').trim();
    const near = didYouMean(asked, known) || didYouMean(first ?? '', known);
    throw usageError(`no command "${words}"; there are ${known.join(', ')}${near}`);
  }
  const help = await formatOverview(title, group);
  await write(isAsked ? io.stdout : io.stderr, `${help}\n`);
  return isAsked ? exitCodes.success : exitCodes.usage;
}

/** The names of options that no command has. */
function unknownOptions(args: readonly string[]): readonly string[] {
  const known = new Set([...optionTable.flatMap(({ name, short }) => [name, short]), 'help', 'h', 'version']);
  return args.flatMap((text) => {
    const name = /^--?([a-z][^=]*)/i.exec(text)?.[1] ?? '';
    const isKnown = known.has(name) || (!text.startsWith('--') && known.has(name[0]));
    return name === '' || isKnown ? [] : [name];
  });
}
