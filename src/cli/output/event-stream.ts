import type { BatchEvent, EventSink } from '../../index.ts';
import { toSafeJson } from '../image/json-text.ts';

/** Writes each event as one JSON object a line. `nowMs` gives milliseconds since the epoch. */
export function createEventStream(write: (line: string) => void, nowMs: () => number): EventSink {
  let seq = 0;
  return ({ type, ...rest }: BatchEvent) => {
    seq += 1;
    const time = new Date(nowMs()).toISOString();
    write(`${toSafeJson({ schema: 'longshore.event/1', seq, time, type, ...rest })}\n`);
  };
}
