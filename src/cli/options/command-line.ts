import { parseArgs } from 'node:util';

import { isHttpUrl, show, showUrl } from '../../internal.ts';
import { type Environment, environmentValues } from './environment.ts';
import {
  appliesTo,
  type CommandName,
  commandNames,
  type OptionSpec,
  parseSwitch,
  unknownWord,
  usageError,
  variableName,
} from './option.ts';
import { type OptionName, optionTable } from './table.ts';

/** A value, and the option or variable that it came from, for messages. */
type OptionValue = { readonly text: string; readonly option: string };

export type CommandLine = {
  /** Absent when the words are no command. */
  readonly command: CommandName | undefined;
  /** The operands after the command, each with the signature given for it. */
  readonly operands: readonly { readonly text: string; readonly signature?: string }[];
  /** The values of an option that apply; flags take precedence over the environment. */
  readonly values: (name: OptionName) => readonly OptionValue[];
  /** Operands and options in a canonical form that yargs cannot misread: operands first, then `--name=value`. */
  readonly argv: readonly string[];
};

type Token = ReturnType<typeof tokens>[number];

/**
 * Parses the arguments once, including positions, which yargs does not keep: which image a signature belongs to, and
 * which options came before the command. Then yargs gets the result and refuses unknown options.
 *
 * @throws USAGE
 */
export function parseCommandLine(
  args: readonly string[],
  table: readonly OptionSpec[],
  environment: Environment,
): CommandLine {
  const command = commandOf(positionalsOf(tokens(args, specsFor(table, undefined))));
  const words = command === undefined ? 0 : command.split(' ').length;
  const specs = specsFor(table, command);
  const read = tokens(args, specs); // an option of the same name may take a value in one command and none in another
  const positionals = positionalsOf(read);
  const values = new Map(specs.map((spec) => [spec.name, valuesOf(spec, read, command, environment)]));
  return {
    command,
    operands: operandsOf(read, words),
    values: (name) => values.get(name) ?? [],
    argv: [...canonical(positionals.slice(words), read, specs, values)],
  };
}

function positionalsOf(read: readonly Token[]): readonly string[] {
  return read.flatMap((token) => (token.kind === 'positional' ? [token.value] : []));
}

function tokens(args: readonly string[], table: readonly OptionSpec[]) {
  const options = Object.fromEntries(
    table.map(({ name, short, kind }) => [
      name,
      { type: kind === 'flag' ? ('boolean' as const) : ('string' as const), ...(short && { short }) },
    ]),
  );
  return parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

function commandOf([first = '', second = '']: readonly string[]): CommandName | undefined {
  return commandNames.find((name) => name === `${first} ${second}`) ?? commandNames.find((name) => name === first);
}

/**
 * The rows for a command. If several have the same name, the command's own; if the command has none, any, so that yargs
 * refuses it.
 */
function specsFor(table: readonly OptionSpec[], command: CommandName | undefined): readonly OptionSpec[] {
  const specs = new Map<string, OptionSpec>();
  for (const spec of table) if (!specs.has(spec.name) || appliesTo(spec, command)) specs.set(spec.name, spec);
  return [...specs.values()];
}

function valuesOf(
  spec: OptionSpec,
  read: readonly Token[],
  command: CommandName | undefined,
  environment: Environment,
): readonly OptionValue[] {
  const option = `--${spec.name}`;
  const given = read.flatMap((token) =>
    token.kind === 'option' && token.name === spec.name ? [{ text: textOf(token, spec), option }] : [],
  );
  const variable = variableName(spec);
  const inherited = appliesTo(spec, command)
    ? environmentValues(spec, environment).map((text) => ({ text, option: variable }))
    : [];
  const all = spec.kind === 'named' ? [...inherited, ...given] : given.length > 0 ? given : inherited;
  for (const value of all) check(value, spec);
  return all;
}

function textOf(token: Extract<Token, { kind: 'option' }>, spec: OptionSpec): string {
  if (spec.kind === 'flag') return token.value ?? 'true';
  if (token.value === undefined) throw usageError('needs a value', `--${spec.name}`);
  const isShort = !token.rawName.startsWith('--');
  return isShort && token.inlineValue && token.value.startsWith('=') ? token.value.slice(1) : token.value;
}

function check({ text, option }: OptionValue, { name, kind, choices }: OptionSpec): void {
  if (kind === 'flag') {
    parseSwitch(text, option);
  } else if (choices && !choices.includes(text)) {
    throw unknownWord(text, choices, option);
  } else if (text === '' && name !== 'insecure-options') {
    throw usageError('needs a value', option);
  }
}

function operandsOf(read: readonly Token[], words: number): CommandLine['operands'] {
  const operands: { text: string; signature?: string }[] = [];
  for (const token of read) {
    if (token.kind === 'positional') operands.push({ text: token.value });
    if (token.kind !== 'option' || token.name !== 'signature') continue;
    const image = operands.length > words ? operands.at(-1) : undefined;
    if (!image) throw usageError('must follow an image', '--signature');
    if (image.signature !== undefined) throw usageError(`given twice for "${show(image.text)}"`, '--signature');
    const file = token.value ?? '';
    if (isHttpUrl(file)) throw usageError(`wants a local file, not a URL: ${showUrl(file)}`, '--signature');
    image.signature = file;
  }
  return operands.slice(words);
}

function* canonical(
  positionals: readonly string[],
  read: readonly Token[],
  table: readonly OptionSpec[],
  values: ReadonlyMap<string, readonly OptionValue[]>,
): Generator<string> {
  const dashed = positionals.filter((text) => text.startsWith('-') && text !== '-');
  yield* positionals.filter((text) => !dashed.includes(text));
  for (const { name, kind } of table) {
    const all = values.get(name) ?? [];
    const counting = kind === 'flag' || kind === 'value' ? all.slice(-1) : all;
    for (const { text } of counting) yield `--${name}=${kind === 'flag' ? parseSwitch(text, name) : text}`;
  }
  for (const token of read) {
    if (token.kind !== 'option' || values.has(token.name)) continue;
    yield token.value === undefined ? token.rawName : `${token.rawName}=${token.value}`;
  }
  if (dashed.length > 0) yield* ['--', ...dashed];
}

/**
 * Whether yargs would accept a command line in canonical form: the command has all of the options, and the number of
 * operands is right. Loading yargs takes longer than many commands run.
 */
export function isPlain(
  { name, operands }: { readonly name: CommandName; readonly operands: string },
  argv: readonly string[],
): boolean {
  const known = new Set(optionTable.flatMap((spec) => (appliesTo(spec, name) ? [spec.name] : [])));
  const options = argv.filter((text) => text.startsWith('-') && text !== '-');
  const isKnown = options.every((text) => known.has(/^--([^=]+)=/.exec(text)?.[1] ?? ''));
  return isKnown && areEnough(operands, argv.length - options.length);
}

function areEnough(notation: string, count: number): boolean {
  const words = notation.split(' ').filter(Boolean);
  const least = words.filter((word) => word.startsWith('<')).length;
  return count >= least && (count <= words.length || notation.includes('...'));
}
