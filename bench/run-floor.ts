import { mkdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { measure, type Measured } from './measure.ts';
import { archiveOf } from './names.ts';
import type { Contender } from './take-turns.ts';

/** What the images of a corpus take at least, and with their tars written: by as many threads as longshore has. */
export function floors(directory: string, names: readonly string[]): readonly Contender[] {
  return [
    { who: 'floor: inflate and hash', isFloor: true, run: () => runFloor(directory, names, '') },
    { who: 'floor, tars written', run: () => runFloor(directory, names, join(directory, 'floor')) },
  ];
}

/** @param target - where the tars go; empty: nowhere. */
export async function runFloor(directory: string, names: readonly string[], target: string): Promise<Measured> {
  if (target !== '') {
    await rm(target, { recursive: true, force: true });
    await mkdir(target);
  }
  const files = names.map((name) => join(directory, 'files', archiveOf(name)));
  const script = join(import.meta.dirname, 'floor.ts');
  // As longshore does for itself: types are taken off and code is compiled in the round that warms up.
  const env = { NODE_COMPILE_CACHE: join(directory, 'compiled') };
  return measure([process.execPath, script, String(availableParallelism()), target, ...files], env);
}
