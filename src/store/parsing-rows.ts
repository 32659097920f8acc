import { damagedIndex } from '../image/index-fault.ts';
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
