import type { Writable } from 'node:stream';
import { styleText } from 'node:util';

import {
  type AppInput,
  type EventSink,
  hasCode,
  ImageError,
  isImageError,
  type Outcome,
  type PushOutcome,
  show,
  type Totals,
} from '../../internal.ts';
import { setNewest } from '../../system/bounded-map.ts';
import { errorLine } from './error-line.ts';
import { plural, size } from './state-line.ts';

/** Lines that are written in all modes of progress. */
export type Messages = {
  readonly warn: (message: string) => void;
  /**
   * Writes one line for a failed outcome; nothing for other outcomes, and nothing for the same failure again. That the disk is full
   * is one failure, whichever images it is of: `end` writes its line.
   */
  readonly fail: (
    outcome: Pick<Outcome, 'reference' | 'error'> & { readonly status: string },
    request?: AppInput,
    hint?: string,
  ) => void;
  /** To be called when all outcomes are known. */
  readonly end: () => void;
};

/** The output about a run on the standard error, for people or programs: progress, warnings, errors, the summary. */
export type Progress = {
  /** Only for a live display: clears it while `write` writes to the terminal. */
  readonly above?: (write: () => void) => void;
  readonly onEvent: EventSink;
  /** Called with every outcome, and the request that it is of; reports failures, each once. `hint` goes on with the advice. */
  readonly onOutcome: (outcome: Outcome | PushOutcome, request?: AppInput, hint?: string) => void;
  /**
   * Writes the summary, if there are totals, and restores the terminal. Must be the last call.
   *
   * @param isInterrupted - the run was stopped by a signal: the summary says what is kept.
   */
  end(totals: Totals | undefined, isInterrupted?: boolean): void;
};

/** A line is not repeated while it is among the last ones: a worker may run for months. */
const mostReported = 10_000;

/**
 * @param write - takes complete lines without the line feed.
 * @param stream - decides about colours, together with NO_COLOR and FORCE_COLOR.
 */
export function createMessages(write: (line: string) => void, stream: Writable): Messages {
  const reported = new Map<string, true>();
  const there = new Set<string>();
  const missing = new Map<string, ImageError<'STORE_FULL'>>();
  let hintWhenFull: string | undefined;
  const once = (line: string, color: 'red' | 'yellow'): void => {
    if (reported.has(line)) return;
    setNewest(reported, line, true, mostReported);
    const end = line.indexOf(':') + 1;
    write(styleText(color, line.slice(0, end), { stream }) + line.slice(end));
  };
  return {
    warn: (message) => once(`warning: ${show(message, 1000)}`, 'yellow'),
    fail: ({ status, error, reference }, request, hint) => {
      if (status === 'fetched' || status === 'present') there.add(reference);
      if (status !== 'failed' || !error) return;
      const full = fullnessOf(error);
      if (full) {
        missing.set(reference, full);
        hintWhenFull ??= hint;
      } else once(errorLine(error, reference, request, hint), 'red');
    },
    end() {
      const [[, first] = []] = missing;
      if (first) {
        const error = diskFull(first, there.size, [...missing.values()]);
        once(errorLine(error, undefined, undefined, hintWhenFull), 'red');
      }
      missing.clear();
    },
  };
}

/** The error of an image for which the disk had no room; undefined for other errors, and for a file that no disk would take. */
export function fullnessOf(error: ImageError): ImageError<'STORE_FULL'> | undefined {
  if (hasCode(error, 'DEPENDENCY_FAILED')) return isImageError(error.cause) ? fullnessOf(error.cause) : undefined;
  return hasCode(error, 'STORE_FULL') && error.details.errno !== 'EFBIG' ? error : undefined;
}

function diskFull(
  { details: { path } }: ImageError<'STORE_FULL'>,
  there: number,
  missing: readonly ImageError<'STORE_FULL'>[],
): ImageError<'STORE_FULL'> {
  const refused = missing
    .map(({ details }) => details)
    .reduce((most, details) => ((details.needed ?? 0) > (most.needed ?? 0) ? details : most));
  const { free, needed } = refused;
  const room =
    free !== undefined && needed !== undefined
      ? `; at least ${size(needed)} are needed and ${size(free)} are free`
      : '';
  const message = `the disk of ${show(path, 1024)} is full: ${plural(there, 'image is', 'images are')} there, ${plural(missing.length, 'is', 'are')} missing${room}`;
  return new ImageError('STORE_FULL', message, { path });
}
