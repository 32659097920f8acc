import { join } from 'node:path';

import type { Layout } from '../../workers/index-writer/protocol.ts';

const setgid = 0o2000;
const worldWritable = 0o002;

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
