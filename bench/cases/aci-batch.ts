import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { makeCorpus } from '../corpus.ts';
import { fetchList, trust } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { measure, type Measured } from '../measure.ts';
import { archiveOf } from '../names.ts';
import { floors } from '../run-floor.ts';
import { takeTurns, type Row } from '../take-turns.ts';
import { startOrigin } from '../start-origin.ts';

/**
 * Twenty signed images, 401 MB as tar: aria2c, gunzip, sha512sum and gpg against longshore; rkt where `RKT` names a binary. Beside
 * them what the same files take at least, where the network sets no limit.
 */
export async function aciBatch(options: CaseOptions & { delayMs: number; rate: number }): Promise<readonly Row[]> {
  const { directory, turns, small } = options;
  const count = small ? 4 : 20;
  await using corpus = await makeCorpus({ directory, count, tarBytes: small ? 40e6 : 401e6 });
  await using origin = await startOrigin(join(directory, 'files'), options);
  const archives = corpus.names.map((name) => `${origin.url}/${archiveOf(name)}`);
  const list = join(directory, 'aria2.txt');
  await writeFile(list, archives.flatMap((url) => [url, `${url}.asc`]).join('\n'));
  await trust(directory, corpus.certificate);

  const tools = async (only: string): Promise<Measured> => {
    const target = join(directory, 'tools');
    await rm(target, { recursive: true, force: true });
    return measure([join(import.meta.dirname, '../pipeline.sh'), list, target, corpus.gpgHome], {
      ONLY_DOWNLOAD: only,
    });
  };
  const rkt = process.env['RKT'];
  const fetchByRkt = async (binary: string): Promise<Measured> => {
    const data = join(directory, 'rkt');
    await rm(data, { recursive: true, force: true });
    return measure([binary, `--dir=${data}`, `--local-config=${join(directory, 'config')}`, 'fetch', ...archives]);
  };
  return await takeTurns(
    [
      { who: 'plain tools', run: () => tools('') },
      { who: 'aria2c -j8, download only', run: () => tools('1') },
      { who: 'longshore', run: () => fetchList(directory, archives, ['--jobs-per-host', '8']) },
      ...(options.rate === 0 ? floors(directory, corpus.names) : []),
      ...(rkt === undefined ? [] : [{ who: 'rkt', run: () => fetchByRkt(rkt) }]),
    ],
    turns,
  );
}
