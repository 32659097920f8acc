import { ImageError, show } from '../../internal.ts';
import { didYouMean } from './suggestion.ts';

/** The commands that options belong to; those of two words are subcommands of a group. */
export const commandNames = [
  'fetch',
  'plan',
  'push',
  'serve',
  'list',
  'trust',
  'trust list',
  'trust remove',
  'trust update-root',
  'image list',
  'image show',
  'image cat-manifest',
  'image export',
  'image import',
  'image extract',
  'image render',
  'image rm',
  'image gc',
  'image prune',
  'image verify',
  'fleet submit',
  'fleet work',
  'fleet status',
  'fleet wait',
  'fleet result',
  'fleet cancel',
  'bench',
  'demo',
  'completion',
] as const;
export type CommandName = (typeof commandNames)[number];

/** The sections of a command's help, in order. */
export const optionGroups = [
  'What to fetch',
  'What to push',
  'What to serve',
  'What to trust',
  'What to measure',
  'Fleet',
  'Network',
  'Speed and limits',
  'Trust',
  'Store',
  'Output',
  'Other',
] as const;

/** One long option. Its parser, its environment variable and its line of help are made from this record. */
export type OptionSpec = {
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** The section of help that lists it. */
  readonly group: (typeof optionGroups)[number];
  /**
   * `flag` is on or off. Of `value` the last one counts. `values` are all kept. `named` are all kept as well, but those
   * of the environment come first, so that the last value of a name counts across both.
   */
  readonly kind: 'flag' | 'value' | 'values' | 'named';
  /** The name of the value in help. */
  readonly placeholder?: string;
  readonly choices?: readonly string[];
  /** The words that the value is a list of, separated by commas. */
  readonly words?: readonly string[];
  readonly help: string;
  /** False when a variable could not say what the value belongs to. */
  readonly environment?: false;
  readonly commands: readonly CommandName[] | 'all';
};

export function appliesTo(spec: OptionSpec, command: CommandName | undefined): boolean {
  return spec.commands === 'all' || (command !== undefined && spec.commands.includes(command));
}

/** `LONGSHORE_NO_DEPS` for `no-deps`. */
export function variableName(spec: Pick<OptionSpec, 'name'>): string {
  return `LONGSHORE_${spec.name.toUpperCase().replaceAll('-', '_')}`;
}

const on = new Set(['1', 'true', 'yes', 'on']);
const off = new Set(['', '0', 'false', 'no', 'off']);

/** @throws USAGE for anything but 1, true, yes, on and 0, false, no, off. */
export function parseSwitch(text: string, option: string): boolean {
  const word = text.toLowerCase();
  if (on.has(word)) return true;
  if (off.has(word)) return false;
  throw usageError(`want 1, true, yes, on or 0, false, no, off, got "${show(text)}"`, option);
}

/** The error for a value that is none of the words that there are. */
export function unknownWord(text: string, words: readonly string[], option: string): ImageError<'USAGE'> {
  return usageError(`want ${words.join(', ')}, got "${show(text)}"${didYouMean(text, words)}`, option);
}

/** @param option - as the user wrote it: `--jobs`, or `LONGSHORE_JOBS`. */
export function usageError(message: string, option?: string): ImageError<'USAGE'> {
  return new ImageError('USAGE', option === undefined ? message : `${option}: ${message}`, {
    ...(option && { option }),
  });
}
