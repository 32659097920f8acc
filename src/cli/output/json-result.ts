import type { Writable } from 'node:stream';

import { createSpool } from './spool.ts';
import { toSafeJson } from './table.ts';
import { inOrder, type ResultWriter } from './text-result.ts';
import { write, written } from './write.ts';

/**
 * Writes one JSON document as outcomes become known: requests in their order, then dependencies, then totals. A push and an
 * import have no dependencies.
 */
export function createJsonResult<O extends { readonly index?: number }, T>(
  stdout: Writable,
  schema: 'longshore.fetch/1' | 'longshore.plan/1' | 'longshore.push/1' | 'longshore.import/1',
): ResultWriter<O, T> {
  const nodes = createSpool('the result');
  let images = 0;
  let dependencies = 0;
  /** Written with the first image: of a run that fails before it has one there is no document, not the begin of one. */
  const head = `{"schema":"${schema}","images":[`;
  const print = inOrder<string>((json) => {
    stdout.write(images === 0 ? `${head}\n${json}` : `,\n${json}`);
    images += 1;
  });
  return {
    add(outcome) {
      const json = toSafeJson(outcome);
      if (outcome.index !== undefined) {
        print(outcome.index, json);
      } else {
        nodes.append(dependencies === 0 ? `\n${json}` : `,\n${json}`);
        dependencies += 1;
      }
    },
    async end(totals) {
      if (images === 0) stdout.write(head);
      if (schema === 'longshore.fetch/1' || schema === 'longshore.plan/1') {
        stdout.write('\n],"nodes":[');
        for (const piece of nodes.pieces()) await write(stdout, piece);
        nodes.close();
      }
      stdout.write(`\n],"totals":${toSafeJson(totals)}}\n`);
      await written(stdout);
    },
  };
}
