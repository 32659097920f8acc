import { create } from './dom.ts';
import { detailOf } from './facts.ts';
import type { Item } from './items.ts';

export type Detail = { readonly element: HTMLElement; show(item: Item | undefined): void };

/** Everything about the image that was chosen. */
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
