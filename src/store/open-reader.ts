import { DatabaseSync } from 'node:sqlite';

import { ImageError } from '../errors.ts';
import { foreignIndex } from '../image/index-fault.ts';
import { show } from '../image/show.ts';
import type { IndexVersion } from '../../workers/index-writer/protocol.ts';
import { patiently } from './patiently.ts';
import { createReader, emptyReader, type Reader } from './reader.ts';

const supported: IndexVersion = 3;

/**
 * Opens the index for reading; one that nothing was written to is empty.
 *
 * @param location - the path, or a file: URL with SQLite's parameters.
 * @param path - of the index, for errors.
 * @throws STORE_VERSION unless it is of the version we know; STORE_CORRUPT
 */
export async function openReader(location: string | URL, path: string): Promise<Reader> {
  const db = await patiently(path, () => new DatabaseSync(location, { readOnly: true, timeout: 0 }));
  try {
    const found = await patiently(path, () => Number(db.prepare('PRAGMA user_version').get()?.['user_version']));
    if (found === supported) return createReader(db, path);
    const schema = await patiently(path, () => db.prepare('SELECT name FROM sqlite_schema').all());
    const isOurs =
      found === 0 ? schema.length === 0 : found > supported || schema.some(({ name }) => name === 'images');
    if (!isOurs) throw foreignIndex(path);
    if (found !== 0) throw otherVersion(path, found);
    db.close();
    return emptyReader;
  } catch (error) {
    db.close();
    throw error;
  }
}

function otherVersion(path: string, found: number): ImageError {
  const way = found > supported ? 'use a newer one' : 'any command that writes brings it up to date';
  const message = `${show(path, 1024)} is of version ${found}, this longshore reads ${supported}: ${way}`;
  return new ImageError('STORE_VERSION', message, { path, found, supported });
}
