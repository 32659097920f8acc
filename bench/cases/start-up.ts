import { join } from 'node:path';

import { makeCorpus } from '../corpus.ts';
import { bin, emptyStore, fetchList, fetchMore, longshore, trust } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { measure } from '../measure.ts';
import { archiveOf } from '../names.ts';
import { runFloor } from '../run-floor.ts';
import { startOrigin } from '../start-origin.ts';
import { takeTurns, type Row } from '../take-turns.ts';

/** What a command takes that has next to nothing to do, beside other programs that have not. */
export async function startUp({ directory, turns }: CaseOptions): Promise<readonly Row[]> {
  // the first image of a corpus has half of the mean size
  await using corpus = await makeCorpus({ directory, count: 1, tarBytes: 40e3 });
  await using origin = await startOrigin(join(directory, 'files'), { delayMs: 0, rate: 0 });
  await trust(directory, corpus.certificate);
  const archives = corpus.names.map((name) => `${origin.url}/${archiveOf(name)}`);
  const inStore = join(directory, 'names');
  await trust(inStore, corpus.certificate);
  await fetchList(inStore, corpus.names, origin.discover);
  const hasSkopeo = await measure(['skopeo', '--version']).then(
    () => true,
    () => false,
  );
  const list = async () => {
    await emptyStore(directory);
    return measure(longshore(directory, ['image', 'list']));
  };
  return await takeTurns(
    [
      { who: 'node -e 0', run: () => measure([process.execPath, '-e', '0']) },
      ...(hasSkopeo ? [{ who: 'skopeo --version', run: () => measure(['skopeo', '--version']) }] : []),
      { who: 'longshore --version', run: () => measure([process.execPath, bin, '--version']) },
      { who: 'longshore image list, empty store', run: list },
      { who: 'longshore, one name that is there', run: () => fetchMore(inStore, corpus.names) },
      { who: 'longshore, one image of 20 KB', run: () => fetchList(directory, archives) },
      { who: 'floor of that image', run: () => runFloor(directory, corpus.names, '') },
    ],
    turns,
  );
}
