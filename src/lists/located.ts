import { type Event, EVENT_ID, getScalarValue, parseEvents, SCALAR_STYLE, YAMLException } from 'js-yaml';

import { show } from '../image/show.ts';

/** A value of YAML or JSON that knows where it stands: `at` is a position in the text. Aliases share nodes. */
export type Node = TextNode | ListNode | MapNode;
/** A scalar as it is written: `1.0` stays "1.0". */
export type TextNode = {
  readonly kind: 'text';
  readonly at: number;
  readonly text: string;
  /** Whether it is null: nothing, `~` or `null`, without quotes. */
  readonly isNull: boolean;
};
type ListNode = { readonly kind: 'list'; readonly at: number; readonly items: readonly Node[] };
export type MapNode = { readonly kind: 'map'; readonly at: number; readonly entries: ReadonlyMap<string, Node> };

type OnFault = (at: number, problem: string) => void;

/** With merge keys, a short text could stand for very many entries. */
const maxMerged = 1_000_000;
const maxDepth = 100;

/**
 * Reads the documents of a YAML or JSON text one at a time; empty ones are left out. Keys that are no scalars are left out with their
 * values. Faults are reported; after a fault of syntax there are no documents.
 */
export function* readDocuments(text: string, onFault: OnFault): Generator<Node> {
  let events: readonly Event[];
  try {
    events = parseEvents(text, { maxDepth });
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    const at = Math.min(error.mark?.position ?? 0, text.length);
    // only the reason is shown: the message has a part of the text, which may be a password
    onFault(at, describeFault(error.reason, text, at));
    return;
  }
  let merged = 0;
  const builder = createBuilder(text, onFault, (count) => (merged += count) <= maxMerged);
  for (const event of events) {
    const root = builder(event);
    if (root !== undefined && !(root.kind === 'text' && root.isNull)) yield root;
  }
}

function describeFault(reason: string, text: string, at: number): string {
  const line = text.slice(text.lastIndexOf('\n', at - 1) + 1, at + 200).split('\n', 1)[0] ?? '';
  const lineBefore =
    text
      .slice(Math.max(0, at - 200), at)
      .split('\n')
      .at(-2) ?? '';
  if (/\{\{/.test(line) || /\{\{/.test(lineBefore)) {
    return 'a template that is still open ({{ … }}): take what comes out of it, such as what helm template prints';
  }
  return `no YAML: ${show(reason)}`;
}

type OpenMap = {
  readonly kind: 'map';
  readonly at: number;
  readonly anchor: string | undefined;
  readonly entries: Map<string, Node>;
  /** What `<<` names; the map's own entries take precedence. */
  readonly merges: Node[];
  key: Node | undefined;
};
type OpenList = {
  readonly kind: 'list';
  readonly at: number;
  readonly anchor: string | undefined;
  readonly items: Node[];
};

/** @returns a function that takes the events in order, and returns the root when its document ends. */
function createBuilder(
  text: string,
  onFault: OnFault,
  mayMerge: (count: number) => boolean,
): (event: Event) => Node | undefined {
  let anchors = new Map<string, Node>();
  let open: (OpenMap | OpenList)[] = [];
  let root: Node | undefined;

  const add = (node: Node, anchor: string | undefined): void => {
    if (anchor !== undefined) anchors.set(anchor, node);
    const parent = open.at(-1);
    if (!parent) root = node;
    else if (parent.kind === 'list') parent.items.push(node);
    else if (!parent.key) parent.key = node;
    else {
      put(parent, parent.key, node);
      parent.key = undefined;
    }
  };

  /** Where a value is missing, its key or the map or list around it is named. */
  const placeOfNothing = (): number => {
    const parent = open.at(-1);
    return (parent?.kind === 'map' ? parent.key?.at : undefined) ?? parent?.at ?? 0;
  };

  const put = (parent: OpenMap, key: Node, value: Node): void => {
    if (key.kind !== 'text') return;
    if (key.text === '<<') for (const one of value.kind === 'list' ? value.items : [value]) parent.merges.push(one);
    else if (parent.entries.has(key.text)) onFault(key.at, `the key "${show(key.text)}" is there twice`);
    else parent.entries.set(key.text, value);
  };

  const merge = (map: OpenMap): void => {
    for (const from of map.merges) {
      if (from.kind !== 'map') onFault(from.at, 'what << names is not a map');
      else if (!mayMerge(from.entries.size))
        onFault(map.at, `merge keys that stand for more than ${maxMerged} entries`);
      else for (const [key, value] of from.entries) if (!map.entries.has(key)) map.entries.set(key, value);
    }
  };

  const anchorOf = ({ anchorStart, anchorEnd }: { readonly anchorStart: number; readonly anchorEnd: number }) =>
    anchorStart < 0 ? undefined : text.slice(anchorStart, anchorEnd);

  return (event) => {
    switch (event.type) {
      case EVENT_ID.DOCUMENT:
        anchors = new Map();
        open = [];
        root = undefined;
        return undefined;
      case EVENT_ID.MAPPING: {
        const map = { kind: 'map', at: event.start, anchor: anchorOf(event) } as const;
        open.push({ ...map, entries: new Map(), merges: [], key: undefined });
        return undefined;
      }
      case EVENT_ID.SEQUENCE:
        open.push({ kind: 'list', at: event.start, anchor: anchorOf(event), items: [] });
        return undefined;
      case EVENT_ID.SCALAR: {
        const value = getScalarValue(text, event);
        const isNull = event.style === SCALAR_STYLE.PLAIN && /^(?:|~|null|Null|NULL)$/.test(value);
        add(
          { kind: 'text', at: event.valueStart < 0 ? placeOfNothing() : event.valueStart, text: value, isNull },
          anchorOf(event),
        );
        return undefined;
      }
      case EVENT_ID.ALIAS: {
        const name = text.slice(event.anchorStart, event.anchorEnd);
        const node = anchors.get(name);
        if (!node) onFault(event.anchorStart, `the alias *${show(name)} names nothing that stands before it`);
        add(node ?? { kind: 'text', at: event.anchorStart, text: '', isNull: true }, undefined);
        return undefined;
      }
      case EVENT_ID.POP: {
        const closed = open.pop();
        if (!closed) return root;
        const { kind, at, anchor } = closed;
        if (kind === 'map') merge(closed);
        add(kind === 'map' ? { kind, at, entries: closed.entries } : { kind, at, items: closed.items }, anchor);
        return undefined;
      }
    }
  };
}

/** The member of a map; undefined for anything else, and for null. */
export function member(node: Node | undefined, key: string): Node | undefined {
  const found = node?.kind === 'map' ? node.entries.get(key) : undefined;
  return found?.kind === 'text' && found.isNull ? undefined : found;
}

/** The scalar that is a member of a map, if it is not null. */
export function textMember(node: Node | undefined, key: string): TextNode | undefined {
  const found = member(node, key);
  return found?.kind === 'text' ? found : undefined;
}

/** The items of a list that is a member of a map. */
export function itemsOf(node: Node | undefined, key: string): readonly Node[] {
  const found = member(node, key);
  return found?.kind === 'list' ? found.items : [];
}

/** The entries of a map that is a member of a map. */
export function entriesOf(node: Node | undefined, key: string): readonly (readonly [string, Node])[] {
  const found = member(node, key);
  return found?.kind === 'map' ? [...found.entries] : [];
}
