import type { Life } from './life.ts';

/** Lives so that those below another follow it, each with its parent's position; -1 where that is not among them. */
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
