import type { EventSink, Outcome, Totals } from '../../index.ts';

export type ProgressMode = 'tty' | 'plain' | 'json' | 'none';

/** What people, or programs, see of a run on the standard error: progress, warnings, errors, the summary. */
export type Progress = {
  /** Present where something is drawn: runs what writes on the terminal when the display is out of its way. */
  readonly above?: (write: () => void) => void;
  readonly onEvent: EventSink;
  /** Told of every outcome; says what failed, each once. */
  readonly onOutcome: (outcome: Outcome) => void;
  /** Says the last word, if there are totals, and leaves the terminal as it was. Nothing may be called after it. */
  end(totals: Totals | undefined): void;
};
