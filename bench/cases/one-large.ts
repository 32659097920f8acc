import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { readEvents } from '../../src/bench/read-events.ts';
import { makeLargeImage } from '../large-image.ts';
import { fetchImages, trust } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { measure, type Measured } from '../measure.ts';
import { archiveOf } from '../names.ts';
import { floors } from '../run-floor.ts';
import { startOrigin } from '../start-origin.ts';
import { takeTurns, type Row } from '../take-turns.ts';

/** One image of 1 GB as tar, that comes at 100 MB/s: how long after its last byte it is ready. */
export async function oneLarge({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const image = await makeLargeImage(directory, small ? 20e6 : 1e9);
  await using origin = await startOrigin(join(directory, 'files'), { delayMs: 0, rate: 100_000_000 });
  const url = `${origin.url}/${archiveOf(image.name)}`;
  await trust(directory, image.certificate);

  const aria2c = async (): Promise<Measured> => {
    const target = join(directory, 'downloaded');
    await rm(target, { recursive: true, force: true });
    return measure(['aria2c', '--quiet', '--split=1', '--file-allocation=none', `--dir=${target}`, url]);
  };
  const longshore = async (): Promise<Measured> => {
    const events = join(directory, 'events');
    await rm(events, { force: true });
    const measured = await fetchImages(directory, ['--events', events, url]);
    const { download, verify, commit } = (await readEvents(events)).phases;
    const readySeconds = verify + commit;
    const facts = {
      'download, s': download,
      'ready after the last byte, ms': readySeconds * 1000,
      'share of the download, %': (readySeconds / download) * 100,
    };
    return { ...measured, facts };
  };
  return await takeTurns(
    [
      { who: 'aria2c, download only', run: aria2c },
      { who: 'longshore', run: longshore },
      ...floors(directory, [image.name]),
    ],
    turns,
  );
}
