import { oncePerFrame } from './dom.ts';

/** Positions of rows: the first, and the one after the last. */
export type Range = { readonly from: number; readonly to: number };

/** A part of a long list that can be scrolled through: which rows there are to draw, and a few beyond. */
export type ListWindow = {
  range(): Range;
  /** Scrolls as little as need be. */
  reveal(index: number): void;
};

export type ListShape = {
  /** In pixels. */
  readonly rowHeight: () => number;
  /** Pixels above the first row. */
  readonly header: number;
  /** Told when other rows come into sight. */
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
