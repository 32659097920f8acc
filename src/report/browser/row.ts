import { phases, statusMarks } from '../phases.ts';
import type { Span } from '../times.ts';
import { create } from './dom.ts';
import type { Item } from './items.ts';
import type { TreeRow } from './view.ts';

export type TimeRange = { readonly fromMs: number; readonly toMs: number };

/** Of a row whose label is beside its bars, and of one whose label is above them. */
export const rowHeights = { wide: 24, narrow: 42 } as const;
const deepest = 10;

/** The label of a row and its bars. What is clicked finds its item by the row's `data-index`. */
export function createRow({ item, isContext }: TreeRow, isFolded: boolean): HTMLElement {
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

/** Of a long reference its end says more than its beginning. */
function nameOf(reference: string): HTMLElement {
  const cut = reference.replace(/\/+$/, '').lastIndexOf('/') + 1;
  return create(
    'span',
    'name',
    create('span', 'head', reference.slice(0, cut)),
    create('span', 'tail', reference.slice(cut)),
  );
}

/** Draws what happened to an image in a range of time. */
export function drawLane(row: HTMLElement, item: Item, { fromMs, toMs }: TimeRange): void {
  const lane = row.lastElementChild;
  if (!lane) return;
  const { spans, retryTimes, status } = item;
  const share = (ms: number): number => ((ms - fromMs) / Math.max(1e-6, toMs - fromMs)) * 100;
  const broken = status === 'fetched' || status === 'present' ? undefined : spans.findLast(isWork);
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
  if (status !== 'fetched' && status !== 'present') {
    const endShare = share(spans.at(-1)?.toMs ?? 0);
    const end = at(create('i', 'end', statusMarks[status]), endShare);
    if (endShare > 97) end.style.translate = '-150%';
    marks.push(end);
  }
  lane.replaceChildren(...marks);
}

/** Whether an image was at work itself then. */
export function isWork({ phase }: Span): boolean {
  return phases[phase] !== 'wait' && phases[phase] !== 'needs';
}

function at(mark: HTMLElement, share: number): HTMLElement {
  mark.style.left = `${share}%`;
  return mark;
}
