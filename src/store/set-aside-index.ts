import { rename } from 'node:fs/promises';

import { errnoOf } from '../system/errno.ts';
import { storeLayout } from './layout.ts';
import { indexSuffixes } from './misplaced.ts';
import { inStore } from './store-error.ts';

/**
 * Moves a damaged index out of the way, for a repair: the store then opens with an empty one, and every blob is among
 * its `unreferenced()`, from where it can be ingested again. What is only in the index is lost: how images were verified
 * and what is remembered of URLs.
 *
 * @returns where the index is now.
 */
export async function setAsideIndex(dir: string, nowMs: number): Promise<string> {
  const { index } = storeLayout(dir, 0);
  const aside = `${index}.damaged-${nowMs}`;
  return inStore(index, async () => {
    // A log that stays would be played into the new index.
    let isThere = false;
    for (const suffix of indexSuffixes) isThere = (await renameIfThere(index + suffix, aside + suffix)) || isThere;
    if (!isThere) await rename(index, aside); // which says so
    return aside;
  });
}

async function renameIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return false;
  }
}
