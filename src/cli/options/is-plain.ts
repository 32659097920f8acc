import type { Command } from '../command.ts';
import { appliesTo } from './option.ts';
import { optionTable } from './table.ts';

/**
 * Whether yargs has nothing to say about a command line in its canonical form: every option is one of the command's, and
 * there are as many operands as it wants. To load yargs takes longer than many a command runs.
 */
export function isPlain({ name, operands }: Pick<Command, 'name' | 'operands'>, argv: readonly string[]): boolean {
  const known = new Set(optionTable.flatMap((spec) => (appliesTo(spec, name) ? [spec.name] : [])));
  const options = argv.filter((text) => text.startsWith('-') && text !== '-');
  const isKnown = options.every((text) => known.has(/^--([^=]+)=/.exec(text)?.[1] ?? ''));
  return isKnown && areEnough(operands, argv.length - options.length);
}

function areEnough(notation: string, count: number): boolean {
  const wanted = notation.split(' ').filter(Boolean);
  const least = wanted.filter((word) => word.startsWith('<')).length;
  return count >= least && (count <= wanted.length || notation.includes('...'));
}
