import { describeMachine } from '../../bench/machine.ts';
import type { EventSink, ImageError } from '../../index.ts';
import { reportPage } from '../../report/page.ts';
import { createTimeline } from '../../report/timeline.ts';
import { readVersion } from '../version.ts';
import { machineFacts } from './machine-facts.ts';
import { writeReport } from './report-file.ts';

export type FetchReport = {
  readonly onEvent: EventSink;
  /** Writes the page, once. */
  end(): void;
};

/**
 * Records a run, and writes its page in the end, whatever ends it: a process that does not wait for its work writes what it
 * knows on its way out.
 *
 * @param onFailure - told when the page could not be written.
 */
export function openFetchReport(path: string, onFailure: (error: ImageError) => void): FetchReport {
  const timeline = createTimeline(Date.now());
  const write = (): void => {
    process.off('exit', write);
    const about = { title: 'longshore fetch', facts: machineFacts(describeMachine(readVersion())), sections: [] };
    const failure = writeReport(path, reportPage(timeline.read(Date.now()), about));
    if (failure) onFailure(failure);
  };
  process.once('exit', write);
  return { onEvent: (event) => timeline.add(event, Date.now()), end: write };
}
