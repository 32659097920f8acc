import type { Item } from './items.ts';
import type { TreeRow } from './view.ts';

/** What a tree of rows is like at the moment. */
export type ChoiceState = {
  readonly rows: readonly TreeRow[];
  readonly folded: ReadonlySet<Item>;
  readonly chosen: Item | undefined;
  /** Rows that are as high as the window. */
  readonly page: number;
};

export type ChoiceHandlers = { readonly onChoose: (item: Item) => void; readonly onFold: (item: Item) => void };

/** Lets rows be chosen and folded, by click and by the keys that trees have. */
export function listenForChoice(
  scroller: HTMLElement,
  state: () => ChoiceState,
  { onChoose, onFold }: ChoiceHandlers,
): void {
  scroller.addEventListener('click', ({ target }) => {
    const item = itemAt(state().rows, target);
    if (!item) return;
    if (target instanceof Element && target.closest('button.fold')) onFold(item);
    else onChoose(item);
  });

  const go = (to: Item | undefined): void => {
    if (to) onChoose(to);
  };

  scroller.addEventListener('keydown', (event) => {
    const { rows, folded, chosen, page } = state();
    const at = rows.findIndex(({ item }) => item === chosen);
    const step = stepOf(event.key, page, rows.length);
    if (step !== undefined) go(rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + step))]?.item);
    else if (!chosen) return;
    else if (event.key === 'ArrowLeft') {
      if (chosen.below > 0 && !folded.has(chosen)) onFold(chosen);
      else go(chosen.parent);
    } else if (event.key === 'ArrowRight') {
      if (folded.has(chosen)) onFold(chosen);
      else if (chosen.below > 0) go(rows[at + 1]?.item);
    } else if (event.key !== 'Enter') return;
    event.preventDefault();
  });
}

function itemAt(rows: readonly TreeRow[], target: EventTarget | null): Item | undefined {
  const index = target instanceof Element ? target.closest<HTMLElement>('.row')?.dataset['index'] : undefined;
  return index === undefined ? undefined : rows.find(({ item }) => item.index === Number(index))?.item;
}

function stepOf(key: string, page: number, count: number): number | undefined {
  return { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -count, End: count }[key];
}
