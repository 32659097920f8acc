import { boundHeaps, keepCompiled } from './compile-cache.ts';
import { listenForSignals } from './interruption.ts';
import { openStandardOutput } from './output/write.ts';

/**
 * Runs one command line. The exit code is a failure until the command has ended: otherwise a Node process with hanging
 * work would end as a success.
 */
export async function main(args: readonly string[]): Promise<void> {
  process.exitCode = 1;
  delete process.env['DEBUG']; // packages that we use would print what they send, the password of a queue among it
  const stdout = openStandardOutput();
  filterWarnings();
  const interruption = listenForSignals(process.env);
  stdout.on('error', interruption.stop); // the reader of the results has gone
  let pending = (): readonly string[] => [];
  guard(() => pending());

  keepCompiled(process.env);
  setTimeout(() => boundHeaps(['grow', 'young']), shortMs).unref();
  const { run } = await import('./run.ts');
  const exitCode = await run(args, {
    stdin: process.stdin,
    stdout,
    stderr: process.stderr,
    environment: process.env,
    signal: interruption.signal,
    awaits: (next) => (pending = next),
    endsBySignal: interruption.endsBySignal,
  });
  process.removeAllListeners('beforeExit');
  process.exitCode = interruption.exitCode() ?? exitCode;
}

/** By then a command has loaded what it needs, and a heap has hardly grown. */
const shortMs = 500;

/** Reports errors that no command handles. */
function guard(pending: () => readonly string[]): void {
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
  process.stderr.on('error', () => undefined);
}

function oneLine(text: string): string {
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, ' ');
}

/**
 * Replaces Node's printer of warnings. It leaves out that features which we use are experimental, and that an
 * environment variable disables certificate checks: it does not here.
 */
function filterWarnings(): void {
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message }) => {
    if (name === 'ExperimentalWarning' && /SQLite|stripTypeScriptTypes/.test(message)) return;
    if (message.includes('NODE_TLS_REJECT_UNAUTHORIZED')) return; // docs/rules.md H13; we warn ourselves
    process.stderr.write(`warning: ${name}: ${message.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, ' ')}\n`);
  });
}
