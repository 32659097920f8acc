import { opendirSync } from 'node:fs';
import { opendir } from 'node:fs/promises';

import { isNoEntry } from './errno.ts';

/** The names in a directory, one at a time; none where there is no directory. */
export async function* namesIn(path: string): AsyncGenerator<string> {
  try {
    for await (const { name } of await opendir(path)) yield name;
  } catch (error) {
    if (!isNoEntry(error)) throw error;
  }
}

/** Whether there is such a name in a directory; looks no further than the first. */
export function hasName(path: string, name: RegExp): boolean {
  try {
    using directory = opendirSync(path);
    for (let entry = directory.readSync(); entry; entry = directory.readSync()) if (name.test(entry.name)) return true;
    return false;
  } catch (error) {
    if (isNoEntry(error)) return false;
    throw error;
  }
}
