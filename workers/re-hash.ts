import { createHash } from 'node:crypto';

import { openFile, readChunks } from './read-file.ts';
import type { Handler } from './tasks.ts';

/** Hashes a file, whole. @throws FILE_NOT_FOUND, FILE_UNREADABLE */
export const reHash: Handler<'reHash'> = async ({ path, algorithm }) => {
  await using file = await openFile(path, path);
  const hash = createHash(algorithm);
  let bytes = 0;
  for await (const chunk of readChunks(file, path)) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { hex: hash.digest('hex'), bytes };
};
