import { ImageError } from '../errors.ts';
import { show } from './show.ts';

const repair = 'repair with "longshore image verify --repair"';

/** An index that contradicts itself or holds what nobody wrote. */
export function damagedIndex(path: string, cause: unknown): ImageError<'STORE_CORRUPT'> {
  const message = `${show(path, 1024)}: a row is damaged: ${repair}`;
  return new ImageError('STORE_CORRUPT', message, { path }, { cause });
}

/** A database that another program made, or whose tables are not what they should be. A repair sets it aside. */
export function foreignIndex(path: string, cause?: unknown): ImageError<'STORE_CORRUPT'> {
  const message = `${show(path, 1024)} is no index of a store, or a damaged one: if the directory is right, ${repair}, which sets it aside`;
  return new ImageError('STORE_CORRUPT', message, { path }, { cause });
}

/** What SQLite says of an index that lacks what a query names: otherwise such an error is a mistake of ours. */
export function isForeignSchema(error: unknown): boolean {
  return (
    error instanceof Error &&
    /^(?:no such (?:table|column)|(?:table|index|view) .* already exists|duplicate column|malformed database schema|table .* has no column)/i.test(
      error.message,
    )
  );
}
