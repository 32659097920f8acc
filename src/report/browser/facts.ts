import { phases } from '../../measure/phases.ts';
import { phaseName, statusMarks } from '../data.ts';
import { formatBytes, formatTime } from '../format.ts';
import { create } from './dom.ts';
import type { Item } from './items.ts';

type Fact = readonly [name: string, value: string, className?: string];

/** All facts about an image, as a list. */
function detailOf(item: Item): HTMLElement {
  const { isPush, parent, imageId, name, source, bytes, size, retries, retryTimes, signers, error, below } = item;
  const facts: Fact[] = [
    ['status', statusOf(item)],
    ['error', error, 'error'],
    ...timesIn(item),
    ['began', `${formatTime(item.spans[0]?.fromMs ?? 0)} into the run`],
    [isPush ? 'sent' : 'downloaded', downloadOf(item)],
    ['in the store', size > 0 ? formatBytes(size) : ''],
    ['tried again', retries > 0 ? `${retries} ×, at ${retryTimes.map(formatTime).join(', ')}` : ''],
    ['name', name],
    ['ID', imageId],
    [isPush ? 'to' : 'from', bytes > 0 || source !== item.reference ? source : ''],
    ['signed by', signers.join('\n')],
    ['needed by', parent?.reference ?? ''],
    ['below it', below > 0 ? `${below} more` : ''],
  ];
  return factList(facts);
}

/** The most important facts. */
function glanceAt(item: Item): HTMLElement {
  const facts: Fact[] = [
    ['status', statusOf(item)],
    ['error', item.error, 'error'],
    ...timesIn(item),
    [item.isPush ? 'sent' : 'downloaded', downloadOf(item)],
    ['tried again', item.retries > 0 ? `${item.retries} ×` : ''],
  ];
  return factList(facts);
}

function statusOf({ status }: Item): string {
  return `${statusMarks[status]} ${status === 'open' ? 'no outcome: the run was over before' : status}`;
}

function timesIn({ spans, isPush }: Item): Fact[] {
  const sums = phases.map((_, at) =>
    spans.reduce((sum, { phase, fromMs, toMs }) => sum + (phase === at ? toMs - fromMs : 0), 0),
  );
  return phases.flatMap((phase, at) =>
    (sums[at] ?? 0) > 0 ? [[phaseName(phase, isPush), formatTime(sums[at] ?? 0)] as const] : [],
  );
}

function downloadOf({ bytes, spans }: Item): string {
  if (bytes === 0) return '';
  const at = phases.indexOf('download');
  const ms = spans.reduce((sum, { phase, fromMs, toMs }) => sum + (phase === at ? toMs - fromMs : 0), 0);
  return ms > 0 ? `${formatBytes(bytes)}, ${formatBytes((bytes / ms) * 1000)}/s` : formatBytes(bytes);
}

function factList(facts: readonly Fact[]): HTMLElement {
  const known = facts.filter(([, value]) => value !== '');
  return create(
    'dl',
    'facts',
    ...known.flatMap(([name, value, kind]) => [create('dt', '', name), create('dd', kind, value)]),
  );
}

type Detail = { readonly element: HTMLElement; show(item: Item | undefined): void };

/** Shows all facts about the chosen image. */
export function createDetail(onClose: () => void): Detail {
  const element = create('aside', 'detail');
  element.ariaLive = 'polite';
  element.ariaLabel = 'The image that was chosen';
  const close = create('button', 'close', '✕');
  close.ariaLabel = 'close';
  close.addEventListener('click', onClose);
  const show = (item: Item | undefined): void => {
    if (item) element.replaceChildren(close, create('h3', '', item.reference), detailOf(item));
    else
      element.replaceChildren(
        create('p', 'hint', 'Choose an image, by click or arrow keys, to see all that is known of it.'),
      );
  };
  show(undefined);
  return { element, show };
}

const away = 14;

/** Shows the most important facts about an image at the pointer. They are also available by keyboard, in the detail. */
export function showOnHover(within: HTMLElement, itemAt: (target: Element) => Item | undefined): void {
  const tip = create('div', 'tip');
  tip.hidden = true;
  tip.ariaHidden = 'true';
  document.body.append(tip);
  let shown: Item | undefined;
  const hide = (): void => {
    tip.hidden = true;
    shown = undefined;
  };
  within.addEventListener('pointermove', ({ target, clientX, clientY, pointerType }) => {
    const item = target instanceof Element && pointerType === 'mouse' ? itemAt(target) : undefined;
    if (!item) return hide();
    if (item !== shown) tip.replaceChildren(create('b', '', item.reference), glanceAt(item));
    shown = item;
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${clientX + away + width > window.innerWidth ? Math.max(4, clientX - away - width) : clientX + away}px`;
    tip.style.top = `${clientY + away + height > window.innerHeight ? Math.max(4, clientY - away - height) : clientY + away}px`;
  });
  within.addEventListener('pointerleave', hide);
  document.addEventListener('keydown', hide);
  document.addEventListener('pointerdown', hide);
  within.addEventListener('scroll', hide, { capture: true, passive: true });
}
