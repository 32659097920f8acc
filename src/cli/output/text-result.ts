import type { Writable } from 'node:stream';

import { show, type Outcome } from '../../index.ts';
import { inOrder } from './in-order.ts';
import type { ResultWriter } from './result.ts';
import { written } from './write.ts';

/** `sha512-` and 32 hex digits. */
const shortLength = 39;

/** One ID a line for each request whose image is there, in the order asked. */
export function createTextResult(stdout: Writable, { full }: { readonly full: boolean }): ResultWriter {
  const print = inOrder<string>((line) => {
    if (line !== '') stdout.write(line);
  });
  return {
    add(outcome) {
      if (outcome.index !== undefined) print(outcome.index, lineOf(outcome, full));
    },
    end: () => written(stdout),
  };
}

function lineOf({ status, imageID }: Outcome, full: boolean): string {
  if (imageID === undefined || (status !== 'fetched' && status !== 'present')) return '';
  const isDigest = !imageID.startsWith('sha512-'); // a manifest digest is never shortened
  return `${show(full || isDigest ? imageID : imageID.slice(0, shortLength))}\n`;
}
