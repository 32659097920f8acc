import type { Writable } from 'node:stream';

import type { BatchEvent, EventSink, ImageError } from '../../internal.ts';
import { type EventDestination, openEventFile } from './event-file.ts';
import { exitCodes } from './exit-code.ts';
import { createEventStream } from './progress.ts';

/** What is written of a run besides its result: its progress, its events, and files that are made of them. */
export type RunOutput = {
  readonly onEvent: EventSink;
  readonly onWarning: (message: string) => void;
  /** Says that something could not be written: the run goes on. */
  readonly onUnwritten: (error: ImageError) => void;
  /** Has another file made of the events. Those that come first end first. */
  add(file: FromEvents | undefined): void;
  /** Ends all but the progress. */
  end(): Promise<void>;
  /** @throws OUTPUT_FAILED if something could not be written, and nothing else has failed */
  checkedCode(code: number): number;
};

type FromEvents = { readonly onEvent: EventSink; end(): void | Promise<void> };

/** @param stdout - where events go that are for the standard output. */
export async function openRunOutput(
  progress: { readonly onEvent: (event: BatchEvent) => void },
  events: EventDestination | undefined,
  stdout: Writable,
): Promise<RunOutput> {
  const unwritten: ImageError[] = [];
  const files: FromEvents[] = [];
  const onUnwritten = (error: ImageError): void => {
    unwritten.push(error);
    progress.onEvent({ type: 'warning', message: error.message });
  };
  const eventFile = events && (await openEventFile(events, stdout, onUnwritten));
  const record = eventFile && createEventStream(eventFile.write, Date.now);
  const onEvent: EventSink = (event) => {
    progress.onEvent(event);
    record?.(event);
    for (const file of files) file.onEvent(event);
  };
  return {
    onEvent,
    onUnwritten,
    onWarning: (message) => onEvent({ type: 'warning', message }),
    add(file) {
      if (file) files.push(file);
    },
    async end() {
      for (const file of files) await file.end();
      await eventFile?.end();
    },
    checkedCode(code) {
      const [failure] = unwritten;
      if (failure && code === exitCodes.success) throw failure;
      return code;
    },
  };
}
