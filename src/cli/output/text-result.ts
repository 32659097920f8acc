import { Writable } from 'node:stream';

import { type Outcome, shortId, show, type Totals } from '../../internal.ts';
import type { Progress } from './messages.ts';
import { written } from './write.ts';

/** The most text collected for one write. */
const gatheredLength = 64 * 1024;

/** Writes one ID in a line for each request whose image is in the store, in order. */
export function createTextResult(stdout: Writable, { full }: { readonly full: boolean }): ResultWriter {
  return createLines(stdout, (outcome) => lineOf(outcome, full));
}

/**
 * Writes lines of outcomes of requests, in order. Lines of one turn of the event loop share one write: ten thousand
 * single writes would take longer than finding the images.
 *
 * @param format - the lines of an outcome, each with its line feed; empty for none.
 */
export function createLines<O extends { readonly index?: number }, T>(
  stdout: Writable,
  format: (outcome: O) => string,
): ResultWriter<O, T> {
  let lines = '';
  const flush = (): void => {
    if (lines !== '') stdout.write(lines);
    lines = '';
  };
  const print = inOrder<string>((line) => {
    if (lines === '' && line !== '') setImmediate(flush);
    lines += line;
    if (lines.length > gatheredLength) flush();
  });
  return {
    add(outcome) {
      if (outcome.index !== undefined) print(outcome.index, format(outcome));
    },
    async end() {
      flush();
      await written(stdout);
    },
  };
}

function lineOf({ status, imageID }: Outcome, full: boolean): string {
  if (imageID === undefined || (status !== 'fetched' && status !== 'present')) return '';
  return `${show(full ? imageID : shortId(imageID))}\n`;
}

/** Writes the outcomes of a batch or plan to the standard output, in one of the formats. */
export type ResultWriter<O = Outcome, T = Totals> = {
  /** Outcomes of requests and dependencies, in any order. */
  add(outcome: O): void;
  /** Resolves when everything was passed to the stream. */
  end(totals: T): Promise<void>;
};

/** Where the standard output has something else. */
export const noResult: ResultWriter<unknown, unknown> = { add: () => undefined, end: () => Promise.resolve() };

/** The standard output. When a display is drawn on the same terminal, a stream that writes above it. */
export function resultStream(stdout: Writable & { readonly isTTY?: boolean }, { above }: Progress): Writable {
  if (!above || stdout.isTTY !== true) return stdout;
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      above(() => stdout.write(chunk));
      done();
    },
  });
}

/** Passes items on in the order of their index, each as soon as all before it have been added. */
export function inOrder<T>(take: (item: T) => void): (index: number, item: T) => void {
  const early = new Map<number, T>();
  let next = 0;
  return (index, item) => {
    early.set(index, item);
    for (let ready = early.get(next); ready !== undefined; ready = early.get(next)) {
      early.delete(next);
      next += 1;
      take(ready);
    }
  };
}
