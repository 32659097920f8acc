import type { Writable } from 'node:stream';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { CommandLine } from './options/command-line.ts';
import type { CommandName } from './options/option.ts';
import type { Environment } from './options/environment.ts';

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

/** What a command may touch of the process it runs in. */
export type Io = {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WriteStream;
  readonly environment: Environment;
  /** Aborted by the first SIGHUP, SIGINT or SIGTERM, and when nobody reads the standard output any more. */
  readonly signal: AbortSignal;
  /** What is still without an outcome, for the message when the process runs dry; replaced by the command at work. */
  readonly awaits: (pending: () => readonly string[]) => void;
};

/** The program's own file, in the sources or as built. */
export function binFile(): string {
  return fileURLToPath(new URL(`../cli/bin${extname(import.meta.url)}`, import.meta.url));
}
