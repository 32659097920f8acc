import { create } from './dom.ts';
import { glanceAt } from './facts.ts';
import type { Item } from './items.ts';

const away = 14;

/** Shows the most important of an image beside the pointer. What a keyboard reaches is told in full elsewhere. */
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
