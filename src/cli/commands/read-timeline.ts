import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

import type { BatchEvent } from '../../index.ts';
import { createTimeline, type Timeline, type TimelineRecorder } from '../../report/timeline.ts';

/** Reads a run out of the events that a process of ours wrote. */
export async function readTimeline(path: string): Promise<Timeline> {
  let recorder: TimelineRecorder | undefined;
  let timeMs = 0;
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const event = JSON.parse(line) as BatchEvent & { readonly time: string }; // what `fetch --events` has just written
    timeMs = Date.parse(event.time);
    recorder ??= createTimeline(timeMs);
    recorder.add(event, timeMs);
  }
  return (recorder ?? createTimeline(timeMs)).read(timeMs);
}
