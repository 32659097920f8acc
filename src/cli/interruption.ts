import { constants } from 'node:os';

const signals = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const;
/** What the first signal leaves for transfers to sync and commits to end. */
const graceMs = 3000;

export type Interruption = {
  readonly signal: AbortSignal;
  /** Ends the work as a signal does, but leaves the exit code to it. */
  readonly stop: () => void;
  /** 128 and the number of the signal that came first. */
  readonly exitCode: () => number | undefined;
};

/** The first signal asks for an end, the second, or time, makes one. */
export function listenForSignals(): Interruption {
  const controller = new AbortController();
  let exitCode: number | undefined;
  for (const name of signals) {
    process.on(name, () => {
      if (exitCode !== undefined) process.exit(exitCode);
      exitCode = 128 + constants.signals[name];
      process.exitCode = exitCode;
      setTimeout(() => process.exit(), graceMs).unref();
      controller.abort(new Error(`interrupted by ${name}`));
    });
  }
  return {
    signal: controller.signal,
    stop: () => controller.abort(new Error('nobody reads the standard output')),
    exitCode: () => exitCode,
  };
}
