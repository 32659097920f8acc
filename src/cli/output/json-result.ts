import type { Writable } from 'node:stream';

import { toSafeJson } from '../image/json-text.ts';
import { inOrder } from './in-order.ts';
import type { ResultWriter } from './result.ts';
import { createSpool } from './spool.ts';
import { written } from './write.ts';

/**
 * One document of that schema, written as it becomes known: requests in the order asked, dependencies behind them,
 * totals last.
 */
export function createJsonResult<O extends { readonly index?: number }, T>(
  stdout: Writable,
  schema: 'longshore.fetch/1' | 'longshore.plan/1',
): ResultWriter<O, T> {
  const nodes = createSpool();
  let images = 0;
  let dependencies = 0;
  stdout.write(`{"schema":"${schema}","images":[`);
  const print = inOrder<string>((json) => {
    stdout.write(images === 0 ? `\n${json}` : `,\n${json}`);
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
      stdout.write('\n],"nodes":[');
      await nodes.drainTo(stdout);
      stdout.write(`\n],"totals":${toSafeJson(totals)}}\n`);
      await written(stdout);
    },
  };
}
