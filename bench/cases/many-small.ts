import { join } from 'node:path';

import { makeCorpus } from '../corpus.ts';
import { fetchList, trust } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { archiveOf } from '../names.ts';
import { takeTurns, type Row } from '../take-turns.ts';
import { startOrigin } from '../start-origin.ts';

/** Two thousand signed images of 20 KB in one command. */
export async function manySmall({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const count = small ? 50 : 2_000;
  await using corpus = await makeCorpus({ directory, count, tarBytes: count * 20e3 });
  await using origin = await startOrigin(join(directory, 'files'), { delayMs: 0, rate: 0 });
  const archives = corpus.names.map((name) => `${origin.url}/${archiveOf(name)}`);
  await trust(directory, corpus.certificate);
  return await takeTurns([{ who: 'longshore', run: () => fetchList(directory, archives) }], turns);
}
