import { join } from 'node:path';

import { makeCorpus } from '../corpus.ts';
import { fetchList, trust } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { takeTurns, type Row } from '../take-turns.ts';
import { startOrigin } from '../start-origin.ts';

/** Ten signed images, 200 MB as tar, each of which needs the next, with 50 ms a request and 10 MB/s a connection. */
export async function chain({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const count = 10;
  const needs = (index: number) => (index + 1 < count ? [index + 1] : []);
  await using corpus = await makeCorpus({ directory, count, tarBytes: small ? 40e6 : 200e6, needs });
  await using origin = await startOrigin(join(directory, 'files'), { delayMs: 50, rate: 10_000_000 });
  await trust(directory, corpus.certificate);
  const more = [...origin.discover, '--jobs-per-host', '16'];
  return await takeTurns(
    [
      { who: 'list of 10', run: () => fetchList(directory, corpus.names, more) },
      { who: 'chain of 10', run: () => fetchList(directory, corpus.names.slice(0, 1), more) },
    ],
    turns,
  );
}
