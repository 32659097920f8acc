import { filterWarnings } from './warnings.ts';
import { listenForSignals } from './interruption.ts';
import { readVersion } from './version.ts';

/**
 * Runs one command line. The exit code is a failure until the command has ended with another: a Node process whose
 * work hangs would otherwise end as a success.
 */
export async function main(args: readonly string[]): Promise<void> {
  process.exitCode = 1;
  if (args.length === 1 && args[0] === '--version') {
    process.stdout.write(`${readVersion()}\n`); // without loading anything else
    process.exitCode = 0;
    return;
  }

  filterWarnings();
  const interruption = listenForSignals();
  let pending = (): readonly string[] => [];
  guard(interruption.stop, () => pending());

  const { run } = await import('./run.ts');
  const exitCode = await run(args, {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    environment: process.env,
    signal: interruption.signal,
    awaits: (next) => (pending = next),
  });
  process.removeAllListeners('beforeExit');
  process.exitCode = interruption.exitCode() ?? exitCode;
}

/** What no command is there to report any more. */
function guard(stop: () => void, pending: () => readonly string[]): void {
  const die = (error: unknown): void => {
    const what = error instanceof Error ? error.message : String(error);
    process.stderr.write(`error: INTERNAL: unexpected: ${oneLine(what)}\n`);
    process.exit(1);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
  process.on('beforeExit', () => {
    const references = pending();
    for (const reference of references.length > 0 ? references : ['']) {
      process.stderr.write(`error: ${reference && `${oneLine(reference)}: `}INTERNAL: no outcome\n`);
    }
    process.removeAllListeners('beforeExit');
  });
  process.stdout.on('error', stop); // EPIPE: whoever read our results has seen enough
  process.stderr.on('error', () => undefined);
}

function oneLine(text: string): string {
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, ' ');
}
