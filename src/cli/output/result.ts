import type { Outcome, Totals } from '../../index.ts';

/** Where the outcomes of a batch, or of its plan, go: the standard output, in one of its forms. */
export type ResultWriter<O = Outcome, T = Totals> = {
  /** In any order; requests and dependencies. */
  add(outcome: O): void;
  /** Resolves when everything has been handed to the stream. */
  end(totals: T): Promise<void>;
};
