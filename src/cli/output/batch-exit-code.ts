import type { Outcome, PlanOutcome } from '../../index.ts';
import { exitCodeOf, exitCodes, sharedExitCode } from './exit-code.ts';

export type BatchExitCode = {
  /** Takes the outcome of a request; dependencies count through the requests that need them. */
  add(outcome: Outcome | PlanOutcome): void;
  /** @param expected - how many requests there were: one without an outcome is a failure. */
  result(expected: number): number;
};

/** The exit code of a batch, or of the plan of one: the kind that all failures share, however many images succeeded. */
export function createBatchExitCode(): BatchExitCode {
  const failures = new Set<number>();
  let succeeded = 0;
  return {
    add(outcome) {
      if (outcome.index === undefined) return;
      if (isGood(outcome.status)) succeeded += 1;
      if (outcome.status === 'failed') failures.add(outcome.error ? exitCodeOf(outcome.error) : exitCodes.unforeseen);
    },
    result(expected) {
      if (failures.size > 0) return sharedExitCode(failures);
      return succeeded === expected ? exitCodes.success : exitCodes.unforeseen;
    },
  };
}

/** What a plan finds absent can be had. */
function isGood(status: (Outcome | PlanOutcome)['status']): boolean {
  return status === 'fetched' || status === 'present' || status === 'absent';
}
