import type { Writable } from 'node:stream';
import { styleText } from 'node:util';

import { type AppInput, type EventSink, type Outcome, type PushOutcome, show, type Totals } from '../../internal.ts';
import { errorLine } from './error-line.ts';

/** Lines that are written in all modes of progress. */
export type Messages = {
  readonly warn: (message: string) => void;
  /** Writes one line for a failed outcome; nothing for other outcomes, and nothing for the same failure again. */
  readonly fail: (
    outcome: Pick<Outcome, 'reference' | 'error'> & { readonly status: string },
    request?: AppInput,
  ) => void;
};

/** The output about a run on the standard error, for people or programs: progress, warnings, errors, the summary. */
export type Progress = {
  /** Only for a live display: clears it while `write` writes to the terminal. */
  readonly above?: (write: () => void) => void;
  readonly onEvent: EventSink;
  /** Called with every outcome, and the request that it is of; reports failures, each once. */
  readonly onOutcome: (outcome: Outcome | PushOutcome, request?: AppInput) => void;
  /**
   * Writes the summary, if there are totals, and restores the terminal. Must be the last call.
   *
   * @param isInterrupted - the run was stopped by a signal: the summary says what is kept.
   */
  end(totals: Totals | undefined, isInterrupted?: boolean): void;
};

/**
 * @param write - takes complete lines without the line feed.
 * @param stream - decides about colours, together with NO_COLOR and FORCE_COLOR.
 */
export function createMessages(write: (line: string) => void, stream: Writable): Messages {
  const reported = new Set<string>();
  const once = (line: string, color: 'red' | 'yellow'): void => {
    if (reported.has(line)) return;
    reported.add(line);
    const end = line.indexOf(':') + 1;
    write(styleText(color, line.slice(0, end), { stream }) + line.slice(end));
  };
  return {
    warn: (message) => once(`warning: ${show(message, 1000)}`, 'yellow'),
    fail: ({ status, error, reference }, request) => {
      if (status === 'failed' && error) once(errorLine(error, reference, request), 'red');
    },
  };
}
