import { join } from 'node:path';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import type { Layout } from '../../workers/index-writer/protocol.ts';

const setgid = 0o2000;
const worldWritable = 0o002;

/** SQLite takes no longer paths than 512 bytes, and has to append to the longest, that of a lock in `tmp`. */
const dirBytes = 440;

/** @throws FILE_UNREADABLE for a directory whose path is too long for a store. */
export function requireShortPath(dir: string): void {
  const bytes = Buffer.byteLength(dir);
  if (bytes <= dirBytes) return;
  const message = `the path of the store is too long (${bytes} bytes, at most ${dirBytes}): ${show(dir)}`;
  throw new ImageError('FILE_UNREADABLE', message, { path: dir, errno: 'ENAMETOOLONG' });
}

/** @param mode - of `dir`: what is made in it gets the same, whatever the umask; nothing is writable for the world. */
export function storeLayout(dir: string, mode: number): Layout {
  const dirMode = mode & (0o777 | setgid) & ~worldWritable;
  return {
    dir,
    index: join(dir, 'index.sqlite'),
    blobs: join(dir, 'blobs', 'sha512'),
    registryBlobs: join(dir, 'blobs', 'sha256'),
    ociIndex: join(dir, 'index.json'),
    downloads: join(dir, 'downloads'),
    tmp: join(dir, 'tmp'),
    dirMode,
    fileMode: dirMode & 0o666,
  };
}
