import { formatTime, timeTicks } from '../format.ts';
import { create } from './dom.ts';
import type { Item } from './items.ts';
import { watchWindow } from './outcomes.ts';
import { createOverview } from './overview.ts';
import { createDrawnRows, isWork, listenForChoice, rowHeights, type TimeRange } from './rows.ts';
import type { TreeRow } from './view.ts';

export type Waterfall = {
  readonly element: HTMLElement;
  show(rows: readonly TreeRow[], folded: ReadonlySet<Item>): void;
  /** Whether the time axis is for the visible rows, or for the whole run. */
  zoom(isOfRowsInSight: boolean): void;
  choose(item: Item | undefined): void;
};

export type WaterfallOptions = {
  readonly durationMs: number;
  readonly onChoose: (item: Item) => void;
  readonly onFold: (item: Item) => void;
};

/** In pixels: below this width, labels and bars do not fit next to each other. */
const narrowest = 620;

/** Images as rows of bars over time. Only the visible rows are in the page, however many there are. */
export function createWaterfall({ durationMs, onChoose, onFold }: WaterfallOptions): Waterfall {
  const scroller = create('div', 'rows');
  const space = create('div');
  const ticks = create('div', 'lane');
  const overview = createOverview(durationMs, (share) => {
    scroller.scrollTop = share * space.offsetHeight - scroller.clientHeight / 2;
  });
  const element = create(
    'div',
    'fall',
    overview.element,
    create('div', 'times', create('div', 'label'), ticks),
    scroller,
  );
  scroller.append(space);
  scroller.role = 'treegrid';
  scroller.tabIndex = 0;
  scroller.ariaLabel = 'Images over time';

  let rows: readonly TreeRow[] = [];
  let folded: ReadonlySet<Item> = new Set();
  let chosen: Item | undefined;
  let isZoomed = false;
  let rowHeight: number = rowHeights.wide;
  const drawn = createDrawnRows(space);

  const draw = (): void => {
    const { from, to } = list.range();
    const inSight = rows.slice(from, to);
    const range = isZoomed ? rangeOf(inSight, durationMs) : { fromMs: 0, toMs: Math.max(1, durationMs) };
    drawn.draw(inSight, from, { rowHeight, folded, chosen, range });
    drawTicks(ticks, scroller, range);
    const share = (index: number): number => Math.min(1, index / Math.max(1, rows.length));
    overview.mark(
      share(scroller.scrollTop / rowHeight),
      share((scroller.scrollTop + scroller.clientHeight) / rowHeight),
      range,
    );
  };
  const list = watchWindow(scroller, { rowHeight: () => rowHeight, header: 0, onChange: draw });

  const choose = (item: Item | undefined): void => {
    chosen = item;
    const at = rows.findIndex((row) => row.item === item);
    if (at >= 0) list.reveal(at);
    draw();
    if (item && drawn.has(item)) scroller.setAttribute('aria-activedescendant', `row-${item.index}`);
    else scroller.removeAttribute('aria-activedescendant');
  };
  const page = (): number => Math.max(1, Math.floor(scroller.clientHeight / rowHeight) - 1);
  listenForChoice(scroller, () => ({ rows, folded, chosen, page: page() }), { onChoose, onFold });

  return {
    element,
    show(next, nextFolded) {
      [rows, folded] = [next, nextFolded];
      drawn.clear();
      const isNarrow = element.clientWidth < narrowest;
      element.classList.toggle('narrow', isNarrow);
      rowHeight = isNarrow ? rowHeights.narrow : rowHeights.wide;
      const height = rows.length * rowHeight;
      space.style.height = `${height}px`;
      scroller.style.height = `${Math.max(rows.length === 0 ? 72 : rowHeight, Math.min(height, window.innerHeight * 0.66))}px`;
      scroller.ariaRowCount = String(rows.length);
      overview.element.hidden = height <= window.innerHeight * 0.66;
      overview.draw(rows);
      draw();
      if (rows.length === 0) space.replaceChildren(create('p', 'none', 'No image matches.'));
      else space.querySelector('.none')?.remove();
    },
    zoom(isOfRowsInSight) {
      isZoomed = isOfRowsInSight;
      draw();
    },
    choose,
  };
}

/** The time in which the rows were active, with a margin. */
function rangeOf(rows: readonly TreeRow[], durationMs: number): TimeRange {
  const spans = rows.flatMap(({ item }) => item.spans.filter(isWork));
  if (spans.length === 0) return { fromMs: 0, toMs: Math.max(1, durationMs) };
  const fromMs = Math.min(...spans.map((span) => span.fromMs));
  const toMs = Math.max(...spans.map((span) => span.toMs));
  const room = Math.max(1, (toMs - fromMs) * 0.04);
  return { fromMs: Math.max(0, fromMs - room), toMs: toMs + room };
}

/** Draws times above the rows, and lines through them. */
function drawTicks(ticks: HTMLElement, scroller: HTMLElement, { fromMs, toMs }: TimeRange): void {
  const times = timeTicks(fromMs, toMs, Math.max(2, ticks.clientWidth / 110));
  const share = (ms: number): number => (ms - fromMs) / Math.max(1e-6, toMs - fromMs);
  ticks.replaceChildren(
    ...times.map((ms) => {
      const tick = create('span', 'tick', ms === 0 ? '0' : formatTime(ms));
      tick.style.left = `${share(ms) * 100}%`;
      return tick;
    }),
  );
  const [first = 0, second = first] = times;
  const step = second > first ? (share(second) - share(first)) * ticks.clientWidth : 1e5;
  scroller.style.setProperty('--tick', `${step}px`);
  scroller.style.setProperty('--shift', `${share(first) * ticks.clientWidth}px`);
}
