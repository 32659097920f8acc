import type { Item } from './items.ts';
import { createRow, drawLane, type TimeRange } from './row.ts';
import type { TreeRow } from './view.ts';

export type RowLooks = {
  readonly rowHeight: number;
  readonly folded: ReadonlySet<Item>;
  readonly chosen: Item | undefined;
  readonly range: TimeRange;
};

/** The rows of a long list that are in the page: made as they come into sight, kept as long as they are. */
export type DrawnRows = {
  /** @param from - position of the first of them in the list. */
  draw(inSight: readonly TreeRow[], from: number, looks: RowLooks): void;
  clear(): void;
  has(item: Item): boolean;
};

export function createDrawnRows(space: HTMLElement): DrawnRows {
  const drawn = new Map<Item, HTMLElement>();

  const removeAllBut = (wanted: ReadonlySet<Item>): void => {
    for (const [item, row] of drawn) {
      if (wanted.has(item)) continue;
      row.remove();
      drawn.delete(item);
    }
  };

  return {
    draw(inSight, from, { rowHeight, folded, chosen, range }) {
      removeAllBut(new Set(inSight.map(({ item }) => item)));
      let above: Element | undefined;
      for (const [at, row] of inSight.entries()) {
        const { item } = row;
        const shown = drawn.get(item) ?? createRow(row, folded.has(item));
        drawn.set(item, shown);
        if (!shown.isConnected) space.insertBefore(shown, above ? above.nextSibling : space.firstChild);
        above = shown; // who hears the page gets the rows in their order too
        shown.style.top = `${(from + at) * rowHeight}px`;
        shown.ariaSelected = String(item === chosen);
        drawLane(shown, item, range);
      }
    },
    clear: () => removeAllBut(new Set()),
    has: (item) => drawn.has(item),
  };
}
