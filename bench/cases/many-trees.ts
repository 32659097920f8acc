import { join } from 'node:path';

import { makeCorpus } from '../corpus.ts';
import { fetchList, trust } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { takeTurns, type Row } from '../take-turns.ts';
import { startOrigin } from '../start-origin.ts';
import { below } from './tree.ts';

/** Ten thousand signed images of 20 KB in 500 trees, by name. */
export async function manyTrees({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const size = 20;
  const count = size * (small ? 5 : 500);
  await using corpus = await makeCorpus({
    ...{ directory, count, tarBytes: count * 20e3 },
    needs: (index) => below(index, size),
  });
  await using origin = await startOrigin(join(directory, 'files'), { delayMs: 0, rate: 0 });
  await trust(directory, corpus.certificate);
  const roots = corpus.names.filter((_, index) => index % size === 0);
  const run = () => fetchList(directory, roots, origin.discover);
  return await takeTurns([{ who: 'longshore', run }], turns);
}
