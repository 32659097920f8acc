import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { basename } from 'node:path';

import type { Environment } from './options/environment.ts';

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
export function listenForSignals(environment: Environment): Interruption {
  const controller = new AbortController();
  let exitCode: number | undefined;
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

/**
 * Whether SIGHUP was ignored when this program was started, and so has to stay ignored. Node sets it to its default before any of our
 * code runs, so that this has to be told from what nohup(1) leaves in the environment by way of a shell, and from a parent that
 * ignores it and so had its children ignore it.
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
