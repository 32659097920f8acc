import type { ReportData, Status } from '../data.ts';
import { find } from './dom.ts';
import { createDetail, showOnHover } from './facts.ts';
import { type Item, toItems } from './items.ts';
import { upgradeOutcomes } from './outcomes.ts';
import { readOutSeries } from './series-cursor.ts';
import { createTools } from './tools.ts';
import { type Filter, isFiltering, matcher, treeRows } from './view.ts';
import { createWaterfall } from './waterfall.ts';

/** With more rows than this, the time axis shows only the visible rows. */
const manyRows = 400;

function start(): void {
  // data of the page itself, written next to this script
  const data = JSON.parse(find('#data').textContent) as ReportData;
  const items = toItems(data);
  const isZoomed = items.length > manyRows;
  let folded = new Set<Item>();
  let filter: Filter = { text: '', statuses: new Set<Status>() };

  const choose = (item: Item | undefined): void => {
    detail.show(item);
    waterfall.choose(item);
    outcomes.choose(item);
  };
  const showTree = (): void =>
    waterfall.show(treeRows(items, filter, folded), isFiltering(filter) ? new Set() : folded);
  const detail = createDetail(() => choose(undefined));
  const waterfall = createWaterfall({
    durationMs: data.durationMs,
    onChoose: choose,
    onFold(item) {
      if (!folded.delete(item)) folded.add(item);
      showTree();
      choose(item);
    },
  });
  const outcomes = upgradeOutcomes(find('#outcomes'), choose);
  const tools = createTools({
    items,
    isZoomed,
    onFilter(next) {
      filter = next;
      const found = items.filter(matcher(filter));
      tools.found(found.length);
      showTree();
      outcomes.show(found);
    },
    onFoldAll(isFolded) {
      folded = new Set(isFolded ? items.filter(({ below }) => below > 0) : []);
      showTree();
    },
    onZoom: (isOfRowsInSight) => waterfall.zoom(isOfRowsInSight),
  });

  const section = find('#images');
  const split = document.createElement('div');
  split.className = 'split';
  split.append(waterfall.element, detail.element);
  section.append(tools.element, split);
  section.hidden = items.length === 0;
  document.querySelector('#table .more')?.remove();
  waterfall.zoom(isZoomed);
  showTree();
  outcomes.show(items);
  showOnHover(waterfall.element, (target) => {
    const index = target.closest<HTMLElement>('.row')?.dataset['index'];
    return index === undefined ? undefined : items[Number(index)];
  });
  readOutSeries(find('#series figure'), data);
  addEventListener('resize', showTree);
}

start();
