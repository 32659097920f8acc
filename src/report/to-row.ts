import type { ImageError } from '../errors.ts';
import { shortId } from '../image/image-id.ts';
import { showReference } from '../image/reference.ts';
import { show } from '../image/show.ts';
import { type Row, statuses } from './data.ts';
import type { Life } from './life.ts';

const longest = { reference: 300, name: 200, source: 300, signer: 160, error: 400 } as const;
const mostSigners = 4;

/** Gives equal texts the same number. */
type Numbering = { number(text: string): number; readonly texts: readonly string[] };

export function createNumbering(): Numbering {
  const numbers = new Map<string, number>();
  const texts: string[] = [];
  return {
    texts,
    number(text) {
      const known = numbers.get(text) ?? texts.length;
      if (known === texts.length) {
        numbers.set(text, known);
        texts.push(text);
      }
      return known;
    },
  };
}

/** Converts a life to a row of the page. Outside text is made safe for display and shortened. */
export function toRow(life: Life, parent: number, signers: Numbering): Row {
  const { reference, addedMs, spans, retryTimes, retries, size, source, outcome, status } = life;
  const shown = cut(showReference(reference), longest.reference);
  const name = show(outcome?.name ?? '', longest.name);
  return [
    shown,
    parent,
    statuses.indexOf(status ?? 'open'),
    [addedMs, ...spans].map(Math.round),
    retryTimes.map(Math.round),
    retries,
    outcome?.bytesDownloaded ?? life.bytes,
    size.archive + size.blobs,
    show(shortId(outcome?.imageID ?? ''), 100),
    name === shown ? '' : name,
    cut(showReference(source), longest.source),
    life.signers.slice(0, mostSigners).map((text) => signers.number(show(text, longest.signer))),
    outcome?.error ? show(errorText(outcome.error), longest.error) : '',
  ];
}

function errorText({ code, message }: ImageError): string {
  return `${code}: ${message}`;
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

/**
 * Orders lives so that those below another follow it, each with the position of its parent; -1 when that is not kept.
 */
export function treeOrder(lives: Iterable<Life>): readonly { readonly life: Life; readonly parent: number }[] {
  const all = new Map(Array.from(lives, (life) => [life.key, life]));
  const below = Map.groupBy(all.values(), ({ parent }) =>
    parent !== undefined && all.has(parent) ? parent : undefined,
  );
  const ordered: { life: Life; parent: number }[] = [];
  const seen = new Set<string>();
  const visit = (roots: readonly Life[]): void => {
    const stack = roots.map((life) => ({ life, parent: -1 })).reverse();
    for (let next = stack.pop(); next; next = stack.pop()) {
      if (seen.has(next.life.key)) continue;
      seen.add(next.life.key);
      const parent = ordered.push(next) - 1;
      const children = below.get(next.life.key) ?? [];
      for (const life of children.toReversed()) stack.push({ life, parent });
    }
  };
  visit(below.get(undefined) ?? []);
  for (const life of all.values()) if (!seen.has(life.key)) visit([life]); // parents in a ring, which no batch has
  return ordered;
}
