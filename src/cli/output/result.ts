import type { Outcome, Totals } from '../../index.ts';

/** Where the outcomes of a batch go: the standard output, in one of its forms. */
export type ResultWriter = {
  /** In any order; requests and dependencies. */
  add(outcome: Outcome): void;
  /** Resolves when everything has been handed to the stream. */
  end(totals: Totals): Promise<void>;
};
