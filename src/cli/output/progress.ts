import type { EventSink, Outcome, Totals } from '../../index.ts';

export type ProgressMode = 'tty' | 'plain' | 'json' | 'none';

/** What people, or programs, see of a run on the standard error: progress, warnings, errors, the summary. */
export type Progress = {
  readonly onEvent: EventSink;
  /** Told of every outcome; says what failed, each once. */
  readonly onOutcome: (outcome: Outcome) => void;
  /** Says the last word, if there are totals, and leaves the terminal as it was. Nothing may be called after it. */
  end(totals: Totals | undefined): void;
};
