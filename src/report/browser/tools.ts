import { type Status, statuses, statusMarks } from '../data.ts';
import { formatNumber } from '../format.ts';
import { create } from './dom.ts';
import type { Item } from './items.ts';
import type { Filter } from './view.ts';

export type Tools = {
  readonly element: HTMLElement;
  /** Shows how many images match. */
  found(count: number): void;
};

export type ToolsOptions = {
  readonly items: readonly Item[];
  readonly isZoomed: boolean;
  readonly onFilter: (filter: Filter) => void;
  readonly onFoldAll: (isFolded: boolean) => void;
  readonly onZoom: (isOfRowsInSight: boolean) => void;
};

/** The controls that filter all views of the images, and that change how rows are shown. */
export function createTools({ items, isZoomed, onFilter, onFoldAll, onZoom }: ToolsOptions): Tools {
  const search = create('input');
  search.type = 'search';
  search.placeholder = 'Filter: name, ID, source, error …';
  search.ariaLabel = 'Filter images';
  const chosen = new Set<Status>();
  const filter = (): void => onFilter({ text: search.value, statuses: new Set(chosen) });
  search.addEventListener('input', filter);

  const counts = Map.groupBy(items, ({ status }) => status);
  const present = statuses.filter((status) => counts.has(status));
  const buttons = present.map((status) => {
    const label = `${formatNumber(counts.get(status)?.length ?? 0)} ${status}`;
    const button = create('button', `status-${status}`, create('i', 'mark', statusMarks[status]), label);
    button.ariaPressed = 'false';
    button.addEventListener('click', () => {
      if (!chosen.delete(status)) chosen.add(status);
      button.ariaPressed = String(chosen.has(status));
      filter();
    });
    return button;
  });

  const folds = (
    [
      ['Fold all', true],
      ['Unfold all', false],
    ] as const
  ).map(([label, isFolded]) => {
    const button = create('button', '', label);
    button.addEventListener('click', () => onFoldAll(isFolded));
    return button;
  });

  const zoom = create('select', '', create('option', '', 'whole run'), create('option', '', 'rows in sight'));
  zoom.selectedIndex = Number(isZoomed);
  zoom.addEventListener('change', () => onZoom(zoom.selectedIndex === 1));

  const found = create('span', 'found');
  found.role = 'status';
  const isTree = items.some(({ depth }) => depth > 0);
  const element = create('div', 'tools', search, ...(present.length > 1 ? buttons : []), ...(isTree ? folds : []));
  element.append(create('label', '', 'Time:', zoom), found);
  return {
    element,
    found(count) {
      found.textContent = count === items.length ? '' : `${formatNumber(count)} of ${formatNumber(items.length)}`;
    },
  };
}
