import type { Writable } from 'node:stream';

import type { BatchEvent } from '../../index.ts';
import { createMessages } from './messages.ts';
import type { Progress } from './progress.ts';
import { stateLine } from './state-line.ts';
import { summaryLine } from './summary.ts';

/** One line a change of state, for logs; without `states` only warnings and errors. */
export function createPlainProgress(stderr: Writable, { states }: { readonly states: boolean }): Progress {
  const references = new Map<string, string>();
  const write = (line: string): void => void stderr.write(`${line}\n`);
  const messages = createMessages(write, stderr);

  const follow = (event: BatchEvent): void => {
    if (event.type === 'node-started') references.set(event.key, event.reference);
    const key = 'key' in event ? (event.key ?? '') : '';
    const line = stateLine(event, references.get(key) ?? key);
    if (line !== undefined) write(line);
    if (event.type === 'node-finished') references.delete(event.key);
  };

  return {
    onEvent(event) {
      if (event.type === 'warning') messages.warn(event.message);
      else if (states) follow(event);
    },
    onOutcome: messages.fail,
    end(totals) {
      if (states && totals) write(summaryLine(totals));
    },
  };
}
