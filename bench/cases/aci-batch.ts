import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { openGpg } from '../../test/helpers/keys.ts';
import { makeCorpus } from '../corpus.ts';
import type { SlowCase } from '../main.ts';
import { measure, type Measured } from '../measure.ts';
import { floors } from '../run-floor.ts';
import { type Row, takeTurns } from '../take-turns.ts';

/**
 * Twenty signed images, 401 MB as tar: aria2c, gunzip, sha512sum and gpg against longshore, and rkt if `RKT` names a
 * binary. Without network limits, the table also has the least time that the same files need.
 */
export async function aciBatch({ directory, turns, small, shape }: SlowCase): Promise<readonly Row[]> {
  const [count, tarBytes] = small ? [2, 20e6] : [20, 401e6];
  await using corpus = await makeCorpus(directory, { count, tarBytes, ...shape });
  const { urls, files, certificate, longshores } = corpus;
  const list = join(directory, 'aria2.txt');
  await writeFile(list, urls.flatMap((url) => [url, `${url}.asc`]).join('\n'));
  await using gpg = await openGpg();
  await gpg.run(['--import', certificate]);

  const tools = async (only: string): Promise<Measured> => {
    const target = join(directory, 'tools');
    await rm(target, { recursive: true, force: true });
    return measure([join(import.meta.dirname, '../pipeline.sh'), list, target, gpg.home], { ONLY_DOWNLOAD: only });
  };
  const rkt = process.env['RKT'];
  const fetchByRkt = async (binary: string): Promise<Measured> => {
    const data = join(directory, 'rkt');
    await rm(data, { recursive: true, force: true });
    return measure([binary, `--dir=${data}`, `--local-config=${longshores[0]?.config ?? ''}`, 'fetch', ...urls]);
  };
  return await takeTurns(
    [
      { who: 'plain tools', run: () => tools('') },
      { who: 'aria2c -j8, download only', run: () => tools('1') },
      ...longshores.map(({ label, fetch }) => ({
        who: `longshore${label}`,
        run: () => fetch(urls),
      })),
      ...(shape.rate === 0 ? floors(directory, files) : []),
      ...(rkt === undefined ? [] : [{ who: 'rkt', run: () => fetchByRkt(rkt) }]),
    ],
    turns,
  );
}
