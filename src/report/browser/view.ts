import type { Column, Status } from '../data.ts';
import type { Item } from './items.ts';

export type Filter = {
  /** Words, all of which must occur. */
  readonly text: string;
  /** Empty means all. */
  readonly statuses: ReadonlySet<Status>;
};

/** A row of the tree. `isContext`: it does not match, and is shown because of rows below it. */
export type TreeRow = { readonly item: Item; readonly isContext: boolean };

export function matcher({ text, statuses }: Filter): (item: Item) => boolean {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return (item) =>
    (statuses.size === 0 || statuses.has(item.status)) && words.every((word) => item.text.includes(word));
}

export function isFiltering({ text, statuses }: Filter): boolean {
  return text.trim() !== '' || statuses.size > 0;
}

/**
 * The visible rows of the tree: those that match, below their parents. Folded rows are hidden unless there is a filter.
 */
export function treeRows(items: readonly Item[], filter: Filter, folded: ReadonlySet<Item>): readonly TreeRow[] {
  if (!isFiltering(filter)) {
    const rows: TreeRow[] = [];
    for (let at = 0; at < items.length; at += 1) {
      const item = items[at];
      if (!item) break;
      rows.push({ item, isContext: false });
      if (folded.has(item)) at += item.below;
    }
    return rows;
  }
  const matches = matcher(filter);
  const found = new Set(items.filter(matches));
  const shown = new Set(found);
  for (const { parent } of found) {
    for (let above = parent; above && !shown.has(above); above = above.parent) shown.add(above);
  }
  return items.filter((item) => shown.has(item)).map((item) => ({ item, isContext: !found.has(item) }));
}

export type Order = { readonly column: Column; readonly isDescending: boolean };

/** Sorts items by a column. Equal ones keep their order; missing texts come last. */
export function sorted(items: readonly Item[], order: Order | undefined): readonly Item[] {
  if (!order) return items;
  const { column, isDescending } = order;
  const sign = isDescending ? -1 : 1;
  return items.toSorted((a, b) => {
    const [left, right] = [keyOf(a, column), keyOf(b, column)];
    if (typeof left === 'number' && typeof right === 'number') return (left - right) * sign;
    if (left === '' || right === '') return Number(left === '') - Number(right === '');
    return left < right ? -sign : left > right ? sign : 0;
  });
}

function keyOf(item: Item, column: Column): string | number {
  switch (column) {
    case 'status':
      return item.status;
    case 'image':
      return item.reference;
    case 'bytes':
      return item.bytes;
    case 'work':
      return item.workMs;
    case 'wait':
      return item.waitMs;
    case 'retries':
      return item.retries;
    case 'signed by':
      return item.signers.join();
    case 'error':
      return item.error;
  }
}
