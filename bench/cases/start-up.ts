import { join } from 'node:path';

import { makeCorpus } from '../corpus.ts';
import { openLongshores } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { measure } from '../measure.ts';
import { runFloor } from '../run-floor.ts';
import { type Row, takeTurns } from '../take-turns.ts';

/** Commands that have almost nothing to do, compared with other programs. */
export async function startUp({ directory, turns }: CaseOptions): Promise<readonly Row[]> {
  // the first image of a corpus has half of the mean size
  await using corpus = await makeCorpus(directory, { count: 1, tarBytes: 40e3 });
  const { names, urls, files, certificate, discover, longshores } = corpus;
  const full = await openLongshores(join(directory, 'names'), certificate);
  for (const { fetch } of full) await fetch(names, discover);
  const hasSkopeo = await measure(['skopeo', '--version']).then(
    () => true,
    () => false,
  );
  return await takeTurns(
    [
      { who: 'node -e 0', run: () => measure([process.execPath, '-e', '0']) },
      ...(hasSkopeo ? [{ who: 'skopeo --version', run: () => measure(['skopeo', '--version']) }] : []),
      ...longshores.map(({ label, bin }) => ({
        who: `longshore${label} --version`,
        run: () => measure([process.execPath, bin, '--version']),
      })),
      ...longshores.map(({ label, emptyStore, run }) => ({
        who: `longshore${label} image list, empty store`,
        run: async () => {
          await emptyStore();
          return run(['image', 'list']);
        },
      })),
      ...full.map(({ label, fetchMore }) => ({
        who: `longshore${label}, one name that is there`,
        run: () => fetchMore(names),
      })),
      ...longshores.map(({ label, fetch }) => ({
        who: `longshore${label}, one image of 20 KB`,
        run: () => fetch(urls),
      })),
      ...longshores.map(({ label, emptyStore, fetchMore }) => ({
        who: `longshore${label}, the same, the store exists`,
        run: async () => {
          await emptyStore();
          await fetchMore([`${urls[0]}.none`], ['--retries=0']).catch(() => undefined); // fails, and makes the store
          return fetchMore(urls);
        },
      })),
      { who: 'floor of that image', run: () => runFloor(directory, files, '') },
    ],
    turns,
  );
}
