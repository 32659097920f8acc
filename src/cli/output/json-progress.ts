import type { Writable } from 'node:stream';

import { createEventStream } from './event-stream.ts';
import type { Progress } from './progress.ts';

/** Events on the standard error and nothing else: failures and warnings are events too. */
export function createJsonProgress(stderr: Writable, nowMs: () => number): Progress {
  return {
    onEvent: createEventStream((line) => void stderr.write(line), nowMs),
    onOutcome: () => undefined,
    end: () => undefined,
  };
}
