import { type Column, columns, statusMarks } from '../data.ts';
import { formatBytes, formatTime } from '../format.ts';
import { create, find, oncePerFrame } from './dom.ts';
import type { Item } from './items.ts';
import { type Order, sorted } from './view.ts';

const lineHeight = 28;
/** Columns that are first sorted by the largest value. */
const largestFirst: ReadonlySet<Column> = new Set(['bytes', 'work', 'wait', 'retries']);

type Outcomes = {
  show(items: readonly Item[]): void;
  choose(item: Item | undefined): void;
};

/** Makes the existing table complete and sortable. Only visible rows are in the page. */
export function upgradeOutcomes(scroller: HTMLElement, onChoose: (item: Item) => void): Outcomes {
  const [head, body] = [find('thead tr', scroller), find('tbody', scroller)];
  scroller.classList.add('scripted');
  scroller.tabIndex = 0;
  scroller.ariaLabel = 'Table of outcomes';
  let items: readonly Item[] = [];
  let rows: readonly Item[] = [];
  let order: Order | undefined;
  let chosen: Item | undefined;

  const draw = (): void => {
    const range = list.range();
    const [from, to] = [Math.min(range.from, rows.length), Math.min(range.to, rows.length)];
    const inSight = rows.slice(from, to).map((item) => rowOf(item, item === chosen));
    body.replaceChildren(gap(from), ...inSight, gap(rows.length - to));
  };
  const list = watchWindow(scroller, { rowHeight: () => lineHeight, header: lineHeight, onChange: draw });
  const sort = (): void => {
    rows = sorted(items, order);
    draw();
  };

  head.replaceChildren(
    ...columns.map((column) => {
      const button = create('button', '', column);
      const cell = create('th', '', button);
      cell.scope = 'col';
      cell.ariaSort = 'none';
      button.addEventListener('click', () => {
        const isDescending = order?.column === column ? !order.isDescending : largestFirst.has(column);
        order = { column, isDescending };
        for (const other of head.children) other.ariaSort = 'none';
        cell.ariaSort = isDescending ? 'descending' : 'ascending';
        scroller.scrollTop = 0;
        sort();
      });
      return cell;
    }),
  );
  body.addEventListener('click', ({ target }) => {
    const index = target instanceof Element ? target.closest('tr')?.dataset['index'] : undefined;
    const item = rows.find((row) => row.index === Number(index));
    if (item) onChoose(item);
  });

  return {
    show(next) {
      items = next;
      scroller.scrollTop = 0;
      sort();
    },
    choose(item) {
      chosen = item;
      draw();
    },
  };
}

function rowOf(item: Item, isChosen: boolean): HTMLElement {
  const { index, status, reference, bytes, workMs, waitMs, retries, signers, error } = item;
  const row = create(
    'tr',
    '',
    create('td', `status-${status}`, create('i', 'mark', statusMarks[status]), status),
    create('td', '', reference),
    create('td', 'number', bytes > 0 ? formatBytes(bytes) : ''),
    create('td', 'number', formatTime(workMs)),
    create('td', 'number', formatTime(waitMs)),
    create('td', 'number', retries > 0 ? String(retries) : ''),
    create('td', '', signers.join('; ')),
    create('td', '', error),
  );
  row.dataset['index'] = String(index);
  row.ariaSelected = String(isChosen);
  for (const cell of row.children)
    if (cell instanceof HTMLElement && cell.textContent.length > 24) cell.title = cell.textContent;
  return row;
}

/** Takes the space of rows that are not visible. */
function gap(rows: number): HTMLElement {
  const cell = create('td');
  cell.colSpan = columns.length;
  const row = create('tr', 'gap', cell);
  row.style.height = `${rows * lineHeight}px`;
  row.hidden = rows === 0;
  return row;
}

/** Positions of rows: the first one, and the one after the last. */
type Range = { readonly from: number; readonly to: number };

/** A part of a long list: the rows to draw, which are the visible ones and a few more. */
type ListWindow = {
  range(): Range;
  /** Scrolls as little as possible. */
  reveal(index: number): void;
};

type ListShape = {
  /** In pixels. */
  readonly rowHeight: () => number;
  /** Pixels above the first row. */
  readonly header: number;
  /** Called when other rows become visible. */
  readonly onChange: () => void;
};

const beyond = 4;

export function watchWindow(scroller: HTMLElement, { rowHeight, header, onChange }: ListShape): ListWindow {
  const change = oncePerFrame(onChange);
  scroller.addEventListener('scroll', change, { passive: true });
  new ResizeObserver(change).observe(scroller);
  return {
    range() {
      const first = Math.floor((scroller.scrollTop - header) / rowHeight());
      const count = Math.ceil(scroller.clientHeight / rowHeight());
      return { from: Math.max(0, first - beyond), to: first + count + beyond };
    },
    reveal(index) {
      const [top, bottom] = [index * rowHeight(), (index + 1) * rowHeight() + header];
      const { scrollTop, clientHeight } = scroller;
      if (top < scrollTop) scroller.scrollTop = top;
      else if (bottom > scrollTop + clientHeight) scroller.scrollTop = bottom - clientHeight;
    },
  };
}
