/** A record of what is made of each name. */
export function recordOf<N extends string, V>(names: readonly N[], make: (name: N) => V): Record<N, V> {
  // its types do not tell that these names, and no others, are what the entries have
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<N, V>;
}
