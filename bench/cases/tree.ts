import { join } from 'node:path';

import { makeCorpus } from '../corpus.ts';
import { fetchList, trust } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { takeTurns, type Row } from '../take-turns.ts';
import { startOrigin } from '../start-origin.ts';

/** Twenty signed images, 401 MB as tar, by name: all of them in a list, and the one that needs the others. */
export async function tree(options: CaseOptions & { delayMs: number; rate: number }): Promise<readonly Row[]> {
  const { directory, turns, small } = options;
  const tarBytes = small ? 40e6 : 401e6;
  await using corpus = await makeCorpus({ directory, count: 20, tarBytes, needs: (index) => below(index, 20) });
  await using origin = await startOrigin(join(directory, 'files'), options);
  await trust(directory, corpus.certificate);
  const more = [...origin.discover, '--jobs-per-host', '8'];
  return await takeTurns(
    [
      { who: 'list of 20', run: () => fetchList(directory, corpus.names, more) },
      { who: 'tree of 20', run: () => fetchList(directory, corpus.names.slice(0, 1), more) },
    ],
    turns,
  );
}

/** The needs of a position in trees of `size` that lie one after the other, each image above four more. */
export function below(index: number, size: number): readonly number[] {
  const at = index % size;
  return [1, 2, 3, 4]
    .map((child) => 4 * at + child)
    .filter((child) => child < size)
    .map((child) => index - at + child);
}
