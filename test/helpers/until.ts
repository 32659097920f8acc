import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until something is so that gives no event of its own. @throws after ten minutes. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 600_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error('waited for ten minutes in vain');
    await sleep(5);
  }
}

/** Waits until the largest download of a store, by whatever process, has so many bytes. */
export function untilDownloaded(store: string, bytes: number): Promise<void> {
  return until(async () => (await largest(join(store, 'downloads'))) >= bytes);
}

/** Bytes of the largest file below a directory. */
async function largest(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true }).catch(() => []); // what comes and goes is no error
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(directory, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return Math.max(0, ...sizes);
}
