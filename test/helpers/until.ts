import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until something is so that gives no event of its own. @throws after ten minutes. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 600_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error('waited for ten minutes in vain');
    await sleep(5);
  }
}
