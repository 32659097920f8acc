import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { basename } from 'node:path';

import type { Environment } from './options/environment.ts';

const signals = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const;
/** Time after the first signal for syncing downloads and ending commits. */
const graceMs = 3000;

export type Interruption = {
  readonly signal: AbortSignal;
  /** Ends the work as a signal does, but does not set the exit code. */
  readonly stop: () => void;
  /** 128 plus the number of the first signal; undefined if a signal is how the command ends. */
  readonly exitCode: () => number | undefined;
  /**
   * Says that a signal is how the command ends: then its own exit code counts.
   *
   * @param endMs - how long it may take to end after the first signal.
   */
  readonly endsBySignal: (endMs: number) => void;
};

/** The first signal aborts the work; a second one, or a timeout, ends the process. */
export function listenForSignals(environment: Environment): Interruption {
  const controller = new AbortController();
  let exitCode: number | undefined;
  let endMs = graceMs;
  let isExpected = false;
  const ignoresHangup = isHangupIgnored(environment);
  for (const name of signals) {
    if (name === 'SIGHUP' && ignoresHangup) {
      process.on(name, () => undefined);
      continue;
    }
    process.on(name, () => {
      if (exitCode !== undefined) process.exit(exitCode);
      exitCode = 128 + constants.signals[name];
      process.exitCode = exitCode;
      setTimeout(() => process.exit(), endMs).unref();
      controller.abort(new Error(`interrupted by ${name}`));
    });
  }
  return {
    signal: controller.signal,
    stop: () => controller.abort(new Error('nobody reads the standard output')),
    exitCode: () => (isExpected ? undefined : exitCode),
    endsBySignal(ms) {
      endMs = ms;
      isExpected = true;
    },
  };
}

/**
 * Whether SIGHUP was ignored when this program was started, and so must stay ignored. Node resets it to the default
 * before our code runs. So this is inferred from the variable that shells set for nohup(1), and from a parent that
 * ignores the signal, which children inherit.
 */
function isHangupIgnored(environment: Environment): boolean {
  if (basename(environment['_'] ?? '') === 'nohup') return true;
  try {
    const [, ignored = '0'] =
      /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${process.ppid}/status`, 'utf8')) ?? [];
    return (BigInt(`0x${ignored}`) & (1n << BigInt(constants.signals.SIGHUP - 1))) !== 0n;
  } catch {
    return false;
  }
}
