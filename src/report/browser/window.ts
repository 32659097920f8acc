import { oncePerFrame } from './dom.ts';

export type Range = { readonly from: number; readonly to: number };

/** A part of a long list that can be scrolled through: which rows there are to draw, and a few beyond. */
export type ListWindow = {
  range(): Range;
  /** Scrolls as little as need be. */
  reveal(index: number): void;
};

const beyond = 4;

/** Tells when other rows come into sight. @param header - pixels above the first row */
export function watchWindow(
  scroller: HTMLElement,
  {
    rowHeight,
    header,
    onChange,
  }: { readonly rowHeight: number; readonly header: number; readonly onChange: () => void },
): ListWindow {
  const change = oncePerFrame(onChange);
  scroller.addEventListener('scroll', change, { passive: true });
  new ResizeObserver(change).observe(scroller);
  return {
    range() {
      const first = Math.floor((scroller.scrollTop - header) / rowHeight);
      const count = Math.ceil(scroller.clientHeight / rowHeight);
      return { from: Math.max(0, first - beyond), to: first + count + beyond };
    },
    reveal(index) {
      const top = index * rowHeight;
      const { scrollTop, clientHeight } = scroller;
      if (top < scrollTop) scroller.scrollTop = top;
      else if (top + rowHeight + header > scrollTop + clientHeight)
        scroller.scrollTop = top + rowHeight + header - clientHeight;
    },
  };
}
