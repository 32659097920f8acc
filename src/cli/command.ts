import { extname } from 'node:path';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import type { CommandLine } from './options/command-line.ts';
import type { Environment } from './options/environment.ts';
import type { CommandName } from './options/option.ts';

/**
 * Runs a command, and resolves with the exit code. A failure that ends the command is thrown as an ImageError, whose
 * code decides the exit code.
 */
export type Run = (io: Io, line: CommandLine) => Promise<number>;

/** A command as help shows it. Its options are the rows of the option table that name it. */
export type Command = {
  readonly name: CommandName;
  /** The operands after the name, in yargs' notation: `[IMAGE...]`, `<IMAGE> <FILE>`, or nothing. */
  readonly operands: string;
  /** One line. */
  readonly summary: string;
  /** Command lines without `longshore`, each with a description. */
  readonly examples: readonly (readonly [string, string])[];
  /** Loads the code of the command, and only then. */
  readonly load: () => Promise<Run>;
};

/** The parts of the process that a command may use. */
export type Io = {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WriteStream;
  readonly environment: Environment;
  /** Aborted by the first SIGHUP, SIGINT or SIGTERM, and when the reader of the standard output has gone. */
  readonly signal: AbortSignal;
  /** Sets the function that names requests without an outcome, for the message when the process runs out of work. */
  readonly awaits: (pending: () => readonly string[]) => void;
  /** Says that a signal is how the command ends, with its own exit code, and how long that may take. */
  readonly endsBySignal: (endMs: number) => void;
};

/** The path of the program, in the sources or in the bundle. */
export function binFile(): string {
  return fileURLToPath(new URL(`../cli/bin${extname(import.meta.url)}`, import.meta.url));
}
