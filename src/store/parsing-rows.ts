import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import type { Row } from './reader.ts';

/**
 * Tells of a row that `parse` does not understand.
 *
 * @param path - of the index, for errors.
 */
export function parsingRows<T>(path: string, parse: (row: Row) => T): (row: Row) => T {
  return (row) => {
    try {
      return parse(row);
    } catch (cause) {
      throw damagedIndex(path, cause);
    }
  };
}

export function damagedIndex(path: string, cause: unknown): ImageError<'STORE_CORRUPT'> {
  const message = `${show(path, 1024)}: a row is damaged: repair with "longshore image verify --repair"`;
  return new ImageError('STORE_CORRUPT', message, { path }, { cause });
}
