import type { Io } from './io.ts';
import type { CommandLine } from './options/command-line.ts';
import type { CommandName } from './options/option.ts';

/**
 * Does what a command is for, and resolves to the exit code. A failure that ends it is thrown as an ImageError, whose
 * code decides the exit code.
 */
export type Run = (io: Io, line: CommandLine) => Promise<number>;

/** A command as help shows it. Its options are those of the table that name it. */
export type Command = {
  readonly name: CommandName;
  /** What stands behind the name, in yargs' notation: `[IMAGE...]`, `<IMAGE> <FILE>`, or nothing. */
  readonly operands: string;
  /** One line. */
  readonly summary: string;
  /** Command lines, without `longshore`, each with what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** Loads the code, which other commands do without. */
  readonly load: () => Promise<Run>;
};
