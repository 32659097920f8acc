import { Writable } from 'node:stream';

import { show, type Outcome, type Totals } from '../../index.ts';
import { written } from './write.ts';
import type { Progress } from './progress.ts';

/** `sha512-` and 32 hex digits. */
const shortLength = 39;

/** What is gathered for one write, at most. */
const gatheredLength = 64 * 1024;

/**
 * One ID a line for each request whose image is there, in the order asked. What comes in one turn of the event loop is one
 * write: ten thousand of their own would take longer than to find the images.
 */
export function createTextResult(stdout: Writable, { full }: { readonly full: boolean }): ResultWriter {
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
      if (outcome.index !== undefined) print(outcome.index, lineOf(outcome, full));
    },
    async end() {
      flush();
      await written(stdout);
    },
  };
}

function lineOf({ status, imageID }: Outcome, full: boolean): string {
  if (imageID === undefined || (status !== 'fetched' && status !== 'present')) return '';
  const isDigest = !imageID.startsWith('sha512-'); // a manifest digest is never shortened
  return `${show(full || isDigest ? imageID : imageID.slice(0, shortLength))}\n`;
}

/** Where the outcomes of a batch, or of its plan, go: the standard output, in one of its forms. */
export type ResultWriter<O = Outcome, T = Totals> = {
  /** In any order; requests and dependencies. */
  add(outcome: O): void;
  /** Resolves when everything has been handed to the stream. */
  end(totals: T): Promise<void>;
};

/** The standard output, or, where a display is drawn on the same terminal, a way to write above it. */
export function resultStream(stdout: Writable & { readonly isTTY?: boolean }, { above }: Progress): Writable {
  if (!above || stdout.isTTY !== true) return stdout;
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      above(() => stdout.write(chunk));
      done();
    },
  });
}

/** Hands items on in the order of their index, each as soon as all before it have come. */
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
