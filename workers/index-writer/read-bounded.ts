import { closeSync, constants, fstatSync, openSync, readFileSync, type BigIntStats } from 'node:fs';

import { errnoOf } from '../../src/system/errno.ts';

export type ReadFile = { readonly text: string; readonly stat: BigIntStats };

/**
 * Reads a regular file that another tool may have written.
 *
 * @returns undefined when it is not there.
 */
export function readBounded(path: string, maxBytes: number): ReadFile | undefined {
  const file = openIfThere(path);
  if (file === undefined) return undefined;
  try {
    const stat = fstatSync(file, { bigint: true });
    if (!stat.isFile()) throw new Error('it is no regular file');
    if (stat.size > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
    return { text: readFileSync(file, 'utf8'), stat };
  } finally {
    closeSync(file);
  }
}

/** Without waiting for the other end of a pipe. */
function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
