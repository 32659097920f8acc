/**
 * Sets a value as the newest of a map, and forgets the oldest if there are more than `most`. Who sets a value again that was found keeps
 * those that are used.
 */
export function setNewest<K, V>(map: Map<K, V>, key: K, value: V, most: number): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= most) return;
    map.delete(oldest);
  }
}
