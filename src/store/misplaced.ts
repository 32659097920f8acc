import { lstatSync, type Stats } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import type { Layout } from './index/protocol.ts';
import { inStore } from './store-error.ts';

/** `told`: what errors name, so that a repair knows what is at fault. */
type Place = { readonly path: string; readonly wanted: 'directory' | 'file'; readonly told: string };

const file = (path: string, told = path): Place => ({ path, wanted: 'file', told });
const directory = (path: string): Place => ({ path, wanted: 'directory', told: path });

/** What the index consists of: SQLite follows links, and waits for pipes. */
export const indexSuffixes = ['', '-wal', '-shm', '-journal'];

/**
 * Nothing but a directory or a file may be where a store has one. What is not there yet is in order.
 *
 * @param writing - whether more than the index and the blobs will be used.
 * @throws STORE_CORRUPT
 */
export function requireLayout(layout: Layout, { writing }: { readonly writing: boolean }): void {
  const { index, downloads, tmp } = layout;
  const places = [
    ...indexSuffixes.map((suffix) => file(index + suffix, index)),
    ...blobDirectories(layout),
    ...(writing ? [downloads, tmp].map(directory) : []),
  ];
  for (const { path, wanted, told } of places) {
    const found = misplaced(path, wanted);
    if (!found) continue;
    const message = `${show(path, 1024)} is ${found}, where a ${wanted} should be`;
    throw new ImageError('STORE_CORRUPT', message, { path: told });
  }
}

/**
 * Gives another name to what is in the place of a directory, or of a file that other tools read, so that the store can be
 * opened again. Of the index setAsideIndex takes care.
 */
export async function setAsideMisplaced(layout: Layout, nowMs: number): Promise<void> {
  const { dir, ociIndex, downloads, tmp } = layout;
  const places = [
    ...blobDirectories(layout),
    ...[downloads, tmp].map(directory),
    file(ociIndex),
    file(join(dir, 'oci-layout')),
  ];
  for (const { path, wanted } of places) {
    if (misplaced(path, wanted)) await inStore(path, () => rename(path, `${path}.damaged-${nowMs}`));
  }
}

function blobDirectories({ dir, blobs, registryBlobs }: Layout): readonly Place[] {
  return [join(dir, 'blobs'), blobs, registryBlobs].map(directory);
}

/** What is there instead. What cannot even be looked at is told by who needs it. */
function misplaced(path: string, wanted: Place['wanted']): string | undefined {
  const stat = statOf(path);
  if (!stat || (wanted === 'file' ? stat.isFile() : stat.isDirectory())) return undefined;
  if (stat.isSymbolicLink()) return 'a symbolic link';
  if (stat.isDirectory()) return 'a directory';
  return stat.isFile() ? 'a file' : 'a pipe, a socket or a device';
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
