import { phases } from '../../measure/phases.ts';
import { isGood, type Span, statusMarks } from '../data.ts';
import { create } from './dom.ts';
import type { Item } from './items.ts';
import type { TreeRow } from './view.ts';

type RowLooks = {
  readonly rowHeight: number;
  readonly folded: ReadonlySet<Item>;
  readonly chosen: Item | undefined;
  readonly range: TimeRange;
};

/**
 * The rows of a long list that are in the page. They are made when they become visible, and kept as long as they are.
 */
type DrawnRows = {
  /** @param from - position of the first row in the list. */
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
        above = shown; // a screen reader needs the rows in their order
        shown.style.top = `${(from + at) * rowHeight}px`;
        shown.ariaSelected = String(item === chosen);
        drawLane(shown, item, range);
      }
    },
    clear: () => removeAllBut(new Set()),
    has: (item) => drawn.has(item),
  };
}

/** The current state of the tree of rows. */
type ChoiceState = {
  readonly rows: readonly TreeRow[];
  readonly folded: ReadonlySet<Item>;
  readonly chosen: Item | undefined;
  /** The number of rows in the height of the window. */
  readonly page: number;
};

type ChoiceHandlers = { readonly onChoose: (item: Item) => void; readonly onFold: (item: Item) => void };

/** Lets users choose and fold rows, by click and by the usual keys for trees. */
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

export type TimeRange = { readonly fromMs: number; readonly toMs: number };

/** In pixels: with the label next to the bars, and with the label above them. */
export const rowHeights = { wide: 24, narrow: 42 } as const;
const deepest = 10;

/** Makes a row with its label and bars. A click finds the item by the row's `data-index`. */
function createRow({ item, isContext }: TreeRow, isFolded: boolean): HTMLElement {
  const { index, depth, status, below } = item;
  const row = create(
    'div',
    `row status-${status}${isContext ? ' context' : ''}`,
    labelOf(item, isFolded),
    create('div', 'lane'),
  );
  row.id = `row-${index}`;
  row.dataset['index'] = String(index);
  row.role = 'row';
  row.ariaLevel = String(depth + 1);
  if (below > 0) row.ariaExpanded = String(!isFolded);
  return row;
}

function labelOf(item: Item, isFolded: boolean): HTMLElement {
  const { reference, depth, status, below } = item;
  const label = create('div', 'label');
  label.role = 'gridcell';
  label.style.paddingLeft = `min(${Math.min(depth, deepest) * 12 + 4}px, 40%)`;
  const fold = create(below > 0 ? 'button' : 'span', 'fold', below > 0 ? (isFolded ? '▶' : '▼') : '');
  if (below > 0) {
    fold.tabIndex = -1;
    fold.ariaLabel = isFolded ? 'unfold' : 'fold';
  }
  const mark = create('span', 'mark', statusMarks[status]);
  mark.ariaLabel = status;
  label.append(fold, mark, nameOf(reference));
  if (isFolded) label.append(create('span', 'hidden-count', `+${below}`));
  return label;
}

/** The end of a long reference is more important than its beginning. */
function nameOf(reference: string): HTMLElement {
  const cut = reference.replace(/\/+$/, '').lastIndexOf('/') + 1;
  return create(
    'span',
    'name',
    create('span', 'head', reference.slice(0, cut)),
    create('span', 'tail', reference.slice(cut)),
  );
}

/** Draws the phases of an image in a range of time. */
function drawLane(row: HTMLElement, item: Item, { fromMs, toMs }: TimeRange): void {
  const lane = row.lastElementChild;
  if (!lane) return;
  const { spans, retryTimes, status } = item;
  const share = (ms: number): number => ((ms - fromMs) / Math.max(1e-6, toMs - fromMs)) * 100;
  const broken = isGood(status) ? undefined : spans.findLast(isWork);
  const marks: HTMLElement[] = [];
  for (const span of spans) {
    if (span.toMs < fromMs || span.fromMs > toMs) continue;
    const bar = create('i', `span fill-${phases[span.phase] ?? 'wait'}${span === broken ? ' broken' : ''}`);
    const left = Math.max(-1, share(span.fromMs));
    bar.style.left = `${left}%`;
    bar.style.width = `${Math.min(101, share(span.toMs)) - left}%`;
    marks.push(bar);
  }
  for (const ms of retryTimes) marks.push(at(create('i', 'again', '↻'), share(ms)));
  if (!isGood(status)) {
    const endShare = share(spans.at(-1)?.toMs ?? 0);
    const end = at(create('i', 'end', statusMarks[status]), endShare);
    if (endShare > 97) end.style.translate = '-150%';
    marks.push(end);
  }
  lane.replaceChildren(...marks);
}

/** Whether the image itself was active in this span. */
export function isWork({ phase }: Span): boolean {
  return phases[phase] !== 'wait' && phases[phase] !== 'needs';
}

function at(mark: HTMLElement, share: number): HTMLElement {
  mark.style.left = `${share}%`;
  return mark;
}
