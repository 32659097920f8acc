import { closeSync, fstatSync, readFileSync, type BigIntStats } from 'node:fs';

import { errnoOf } from '../../src/system/errno.ts';
import { openOwnFileSync } from '../../src/system/files.ts';

export type ReadFile = { readonly text: string; readonly stat: BigIntStats };

/**
 * Reads a regular file that another tool may have written. No link is followed.
 *
 * @returns undefined when it is not there.
 */
export function readBounded(path: string, maxBytes: number): ReadFile | undefined {
  const file = openIfThere(path);
  if (file === undefined) return undefined;
  try {
    const stat = fstatSync(file, { bigint: true });
    if (stat.size > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
    return { text: readFileSync(file, 'utf8'), stat };
  } finally {
    closeSync(file);
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openOwnFileSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
