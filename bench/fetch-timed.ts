import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { emptyStore, longshore } from './longshore.ts';
import { measure, type Measured } from './measure.ts';

/** Loaded before longshore; a thread inherits it. */
const preload = `import { isMainThread } from 'node:worker_threads';
import { writeFileSync } from 'node:fs';
if (isMainThread) process.once('exit', () => {
  const { user, system } = process.threadCpuUsage();
  writeFileSync(process.env.MAIN_THREAD, String((user + system) / 1000));
});`;

/** What of its processor time a command took in its main thread. */
export const mainThread = 'main thread, ms';

/** Fetches a list into an empty store. @param processors - as taskset takes them; empty: all. */
export async function fetchTimed(directory: string, images: readonly string[], processors = ''): Promise<Measured> {
  const [list, time] = [join(directory, 'list.txt'), join(directory, 'main-thread')];
  await emptyStore(directory);
  await writeFile(list, images.join('\n'));
  const [node = '', ...rest] = longshore(directory, ['fetch', '--progress=none', '--jobs-per-host=8', '-f', list]);
  const pinned = processors === '' ? [] : ['taskset', '--cpu-list', processors];
  const loaded = [node, `--import=data:text/javascript,${encodeURIComponent(preload)}`, ...rest];
  const measured = await measure([...pinned, ...loaded], { MAIN_THREAD: time });
  return { ...measured, facts: { [mainThread]: Number(await readFile(time, 'utf8')) } };
}
