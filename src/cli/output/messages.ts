import type { Writable } from 'node:stream';
import { styleText } from 'node:util';

import { show, type Outcome } from '../../index.ts';
import { errorLine } from './error-line.ts';

/** Lines that are shown however progress is. */
export type Messages = {
  readonly warn: (message: string) => void;
  /** One error line for an outcome that failed, and nothing for others or for the same again. */
  readonly fail: (outcome: Pick<Outcome, 'reference' | 'error'> & { readonly status: string }) => void;
};

/**
 * @param write - takes whole lines, without the line feed.
 * @param stream - decides whether there are colours, with NO_COLOR and FORCE_COLOR.
 */
export function createMessages(write: (line: string) => void, stream: Writable): Messages {
  const said = new Set<string>();
  const once = (line: string, color: 'red' | 'yellow'): void => {
    if (said.has(line)) return;
    said.add(line);
    const end = line.indexOf(':') + 1;
    write(styleText(color, line.slice(0, end), { stream }) + line.slice(end));
  };
  return {
    warn: (message) => once(`warning: ${show(message, 1000)}`, 'yellow'),
    fail: ({ status, error, reference }) => {
      if (status === 'failed' && error) once(errorLine(error, reference), 'red');
    },
  };
}
