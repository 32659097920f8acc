import { type ReportData, type Span, spansOf, type Status, statuses, timesOf } from '../data.ts';

/** One image, as the page uses it. */
export type Item = {
  readonly index: number;
  /** Whether it was sent. */
  readonly isPush: boolean;
  readonly reference: string;
  readonly parent: Item | undefined;
  readonly depth: number;
  readonly status: Status;
  readonly spans: readonly Span[];
  readonly retryTimes: readonly number[];
  readonly retries: number;
  readonly bytes: number;
  readonly size: number;
  readonly imageId: string;
  readonly name: string;
  readonly source: string;
  readonly signers: readonly string[];
  readonly error: string;
  readonly workMs: number;
  readonly waitMs: number;
  readonly needsMs: number;
  /** The text that filters search, in lower case. */
  readonly text: string;
  /** The number of rows below it that belong to its tree. */
  below: number;
};

export function toItems({
  rows,
  isPush,
  signers: known,
}: Pick<ReportData, 'rows' | 'isPush' | 'signers'>): readonly Item[] {
  const items: Item[] = [];
  for (const [index, row] of rows.entries()) {
    const [reference, parentAt, status, spans, retryTimes, retries, bytes, size, imageId, name, source] = row;
    const [, , , , , , , , , , , signedBy, error] = row;
    const parent = items[parentAt];
    const signers = signedBy.map((at) => known[at] ?? '');
    items.push({
      ...{ index, isPush, reference, parent, retryTimes, retries, bytes, size, imageId, name, source, signers, error },
      depth: parent ? parent.depth + 1 : 0,
      status: statuses[status] ?? 'open',
      spans: spansOf(spans),
      ...timesOf(spans),
      text: [reference, imageId, name, source, ...signers, error].join('\n').toLowerCase(),
      below: 0,
    });
    for (let above = parent; above; above = above.parent) above.below += 1;
  }
  return items;
}
