import { posix } from 'node:path';

import { sanitizeAcName } from '../../src/image/ac-name.ts';

export type MountPoint = { readonly name: string; readonly path: string };

/** A mount point for each volume, by name. Volumes whose names would be the same are numbered in the order of their paths. */
export function toMountPoints(volumes: readonly string[], warn: (line: string) => void): readonly MountPoint[] {
  const points = new Map<string, MountPoint>();
  const numbers = new Map<string, number>();
  for (const path of [...volumes].sort()) {
    if (path === '') {
      warn('a volume without a path is left out');
      continue;
    }
    const plain = sanitizeAcName(`volume${posix.normalize(`/${path}`)}`);
    let name = plain;
    for (let number = numbers.get(plain) ?? 1; points.has(name); number++) {
      name = `${plain}-${number}`;
      numbers.set(plain, number + 1);
    }
    points.set(name, { name, path });
  }
  return [...points.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
