import type { Writable } from 'node:stream';

import type { BatchEvent, EventSink } from '../../internal.ts';
import type { Environment } from '../options/environment.ts';
import { createMessages, type Progress } from './messages.ts';
import { keptLine, readingLine, stateLine, summaryLine } from './state-line.ts';
import { toSafeJson } from './table.ts';

export type ProgressMode = 'tty' | 'plain' | 'json' | 'none';

/** @param asked - the value of `--progress`; `auto` draws only on a terminal that supports it. */
export function progressMode(asked: string | undefined, isTTY: boolean, environment: Environment): ProgressMode {
  if (asked === 'tty' || asked === 'plain' || asked === 'json' || asked === 'none') return asked;
  const isCI = !['', '0', 'false'].includes(environment['CI'] ?? '');
  return isTTY && !isCI && environment['TERM'] !== 'dumb' ? 'tty' : 'plain';
}

/** @param nowMs - milliseconds since the epoch. */
export async function openProgress(
  mode: ProgressMode,
  stderr: NodeJS.WriteStream,
  nowMs: () => number,
): Promise<Progress> {
  switch (mode) {
    case 'tty': {
      const { createLiveProgress } = await import('./live-progress.ts');
      return tellingWhatIsKept(createLiveProgress(stderr, nowMs), stderr);
    }
    case 'plain':
      return tellingWhatIsKept(createPlainProgress(stderr, { states: true }), stderr);
    case 'none':
      return createPlainProgress(stderr, { states: false });
    case 'json':
      return createJsonProgress(stderr, nowMs);
  }
}

/** Writes one line for each change of state, for logs; without `states`, only warnings and errors. */
export function createPlainProgress(stderr: Writable, { states }: { readonly states: boolean }): Progress {
  const references = new Map<string, string>();
  const write = (line: string): void => void stderr.write(`${line}\n`);
  const messages = createMessages(write, stderr);
  let isReading = false;

  const follow = (event: BatchEvent): void => {
    if (event.type === 'node-started') references.set(event.key, event.reference);
    if (event.type === 'archive-read') {
      if (!isReading) write(readingLine(event));
      isReading = true;
      return;
    }
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
      messages.end();
      if (states && totals) write(summaryLine(totals));
    },
  };
}

/** Of a body up to this size nothing is kept: it is not written to a file before it is complete. */
const keptFrom = 64 * 1024;

/** After a run that was interrupted, tells how much of it the store keeps. */
function tellingWhatIsKept(progress: Progress, stderr: Writable): Progress {
  const underWay = new Map<string, number>();
  const kept = { images: 0, bytes: 0 };
  const take = (event: BatchEvent): void => {
    if (event.type === 'download-progress') underWay.set(event.key, event.bytes);
    if (event.type !== 'node-finished') return;
    const bytes = underWay.get(event.key) ?? 0;
    underWay.delete(event.key);
    if (event.outcome.status !== 'cancelled' || bytes <= keptFrom) return;
    kept.images += 1;
    kept.bytes += bytes;
  };
  return {
    ...progress,
    onEvent(event) {
      take(event);
      progress.onEvent(event);
    },
    end(totals, isInterrupted = false) {
      progress.end(totals, isInterrupted);
      if (totals && isInterrupted && totals.cancelled > 0) stderr.write(`${keptLine(totals, kept)}\n`);
    },
  };
}

/** Writes only events to the standard error; failures and warnings are events, too. */
function createJsonProgress(stderr: Writable, nowMs: () => number): Progress {
  return {
    onEvent: createEventStream((line) => void stderr.write(line), nowMs),
    onOutcome: () => undefined,
    end: () => undefined,
  };
}

/** Writes each event as one line of JSON. `nowMs` returns milliseconds since the epoch. */
export function createEventStream(write: (line: string) => void, nowMs: () => number): EventSink {
  let seq = 0;
  return ({ type, ...rest }: BatchEvent) => {
    seq += 1;
    const time = new Date(nowMs()).toISOString();
    write(`${toSafeJson({ schema: 'longshore.event/1', seq, time, type, ...rest })}\n`);
  };
}
