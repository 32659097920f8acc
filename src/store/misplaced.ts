import { lstatSync, type Stats } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import type { Layout } from './index/protocol.ts';
import { inStore } from './store-error.ts';

/**
 * Where a file or directory of the store belongs. `reported` is the path that errors name, by which a repair knows what
 * to mend.
 */
type Place = { readonly path: string; readonly wanted: 'directory' | 'file'; readonly reported: string };

const file = (path: string, reported = path): Place => ({ path, wanted: 'file', reported });
const directory = (path: string): Place => ({ path, wanted: 'directory', reported: path });

/** The files of the index. They are checked since SQLite follows links and blocks on pipes. */
export const indexSuffixes = ['', '-wal', '-shm', '-journal'];

/**
 * Checks that each path of a store is a file or a directory, as it should be, or does not exist yet.
 *
 * @param writing - whether the store will be written, so that more than the index and the blobs is used.
 * @throws STORE_CORRUPT
 */
export function requireLayout(layout: Layout, { writing }: { readonly writing: boolean }): void {
  const { index, downloads, tmp } = layout;
  const places = [
    ...indexSuffixes.map((suffix) => file(index + suffix, index)),
    ...blobDirectories(layout),
    ...(writing ? [downloads, tmp].map(directory) : []),
  ];
  for (const { path, wanted, reported } of places) {
    const found = misplaced(path, wanted);
    if (!found) continue;
    const message = `${show(path, 1024)} is ${found}, where a ${wanted} should be`;
    throw new ImageError('STORE_CORRUPT', message, { path: reported });
  }
}

/**
 * Renames whatever is in the place of a directory, or of a file that other tools read, so that the store can be opened
 * again. The index itself is left to setAsideIndex.
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

/** Says what is in the wrong place. An entry that cannot be examined is reported when it is used. */
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
