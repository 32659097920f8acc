import { numberOf } from './columns.ts';
import type { Query, Row } from './reader.ts';

/** Rows read at a time while all are listed. */
const pageRows = 256;

/** What follows `SELECT …` in a query of all rows in the order of their import, a page at a time. */
export const importPage = `WHERE (imported_at, seq) > (?, ?) ORDER BY imported_at, seq LIMIT ${pageRows}`;

/** All rows in the order of their import. @param page - selects imported_at and seq, and ends in `importPage`. */
export async function* byImport(page: Query): AsyncGenerator<Row> {
  let last: readonly [number, number] | undefined = [-Infinity, 0];
  while (last) {
    const rows = await page.all(...last);
    yield* rows;
    const end = rows.length < pageRows ? undefined : rows.at(-1);
    last = end && [numberOf(end, 'imported_at'), numberOf(end, 'seq')];
  }
}
