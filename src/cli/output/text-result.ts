import type { Writable } from 'node:stream';

import { show, type Outcome } from '../../index.ts';
import { inOrder } from './in-order.ts';
import type { ResultWriter } from './result.ts';
import { written } from './write.ts';

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
