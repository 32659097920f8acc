import { mkdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { measure, type Measured } from './measure.ts';
import type { Contender } from './take-turns.ts';

/** The least time that archives take, without and with writing their tars, in as many threads as longshore has. */
export function floors(directory: string, files: readonly string[]): readonly Contender[] {
  return [
    { who: 'floor: inflate and hash', isFloor: true, run: () => runFloor(directory, files, '') },
    { who: 'floor, tars written', run: () => runFloor(directory, files, join(directory, 'floor')) },
  ];
}

/** @param target - the directory for the tars; empty to write none. */
export async function runFloor(directory: string, files: readonly string[], target: string): Promise<Measured> {
  if (target !== '') {
    await rm(target, { recursive: true, force: true });
    await mkdir(target);
  }
  const script = join(import.meta.dirname, 'floor.ts');
  // As longshore does: types are stripped and code is compiled in the warm-up round.
  const env = { NODE_COMPILE_CACHE: join(directory, 'compiled') };
  return measure([process.execPath, script, String(availableParallelism()), target, ...files], env);
}
