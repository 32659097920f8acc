import { describeMachine } from '../../../bench/machine.ts';
import type { BenchResult } from '../../../bench/result.ts';
import type { EventSink, ImageError } from '../../../internal.ts';
import { reportPage } from '../../../report/page.ts';
import { createTimeline } from '../../../report/timeline.ts';
import { readVersion } from '../../version.ts';
import { writeAtEnd, writeOutput } from '../output-files.ts';

export type RunReport = {
  readonly onEvent: EventSink;
  /** Writes the page, once. */
  end(): void;
};

/**
 * Records a run and writes its page at the end, however the run ends: a process that exits early writes the data so
 * far.
 *
 * @param command - what is run. @param onFailure - called when the page could not be written.
 */
export function openRunReport(path: string, command: string, onFailure: (error: ImageError) => void): RunReport {
  const timeline = createTimeline(Date.now());
  const write = (): ImageError | undefined => {
    const about = { title: `longshore ${command}`, facts: machineFacts(describeMachine(readVersion())), sections: [] };
    return writeOutput({ path, what: 'the report' }, reportPage(timeline.read(Date.now()), about));
  };
  return { onEvent: (event) => timeline.add(event, Date.now()), end: writeAtEnd(write, onFailure) };
}

/** Program and machine, for the head of a report. */
export function machineFacts({
  longshore,
  node,
  platform,
  processors,
  model,
}: BenchResult['machine']): readonly string[] {
  return [`longshore ${longshore}`, `Node ${node}`, platform, `${processors} × ${model}`];
}
