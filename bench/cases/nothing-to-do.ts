import { join } from 'node:path';

import { makeCorpus } from '../corpus.ts';
import { fetchList, fetchMore, trust } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { takeTurns, type Row } from '../take-turns.ts';
import { startOrigin } from '../start-origin.ts';

/** Ten thousand names that the store has, verified; what one of them takes is start-up. */
export async function nothingToDo({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const count = small ? 200 : 10_000;
  await using corpus = await makeCorpus({ directory, count, tarBytes: count * 4e3 });
  await using origin = await startOrigin(join(directory, 'files'), { delayMs: 0, rate: 0 });
  await trust(directory, corpus.certificate);
  await fetchList(directory, corpus.names, origin.discover);
  return await takeTurns(
    [
      { who: 'start-up: 1 name', run: () => fetchMore(directory, corpus.names.slice(0, 1)) },
      { who: `${count} names`, run: () => fetchMore(directory, corpus.names) },
    ],
    turns,
  );
}
