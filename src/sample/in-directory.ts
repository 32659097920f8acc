import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, normalize } from 'node:path';

import type { OriginOptions } from './origin.ts';

const chunkLength = 256 * 1024;

/** Files that an origin finds below a directory; what ends in a slash is the file `index` there. */
export function inDirectory(directory: string): OriginOptions['find'] {
  return async (path) => {
    const file = join(directory, normalize(path.endsWith('/') ? `${path}index` : path));
    const found = await stat(file).catch(() => undefined); // whatever the reason: it is not there to be had
    if (!found?.isFile()) return undefined;
    return {
      length: found.size,
      etag: `"${found.size}-${found.mtimeMs}"`,
      read: (start) => createReadStream(file, { start, highWaterMark: chunkLength }),
    };
  };
}
