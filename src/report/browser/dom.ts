type Children = readonly (Node | string)[];

/** A new element. Text is text: nothing here reads HTML. */
export function create<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = '',
  ...children: Children
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className !== '') element.className = className;
  element.append(...children);
  return element;
}

export function find(selector: string, within: ParentNode = document): HTMLElement {
  const element = within.querySelector<HTMLElement>(selector);
  if (!element) throw new Error(`the page has no ${selector}`);
  return element;
}

/** Runs at most once a frame, however often it is asked for. */
export function oncePerFrame(run: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      run();
    });
  };
}
