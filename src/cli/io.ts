import type { Writable } from 'node:stream';

import type { Environment } from './options/environment.ts';

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
