import { posix } from 'node:path';

import { sanitizeAcName } from '../../src/image/ac-name.ts';
import { show } from '../../src/image/show.ts';

export type MountPoint = { readonly name: string; readonly path: string };

/**
 * A mount point for each volume, by name. Volumes whose names would be the same are numbered in the order of their paths. A
 * path that is not absolute is taken from the root, as docker does.
 *
 * @param warn - gets a line for each volume that is left out or changed.
 */
export function toMountPoints(volumes: readonly string[], warn: (line: string) => void): readonly MountPoint[] {
  const points = new Map<string, MountPoint>();
  const numbers = new Map<string, number>();
  const paths = volumes.flatMap((path) => {
    if (path === '') warn('a volume without a path is left out');
    else if (!path.startsWith('/'))
      warn(`the path of the volume "${show(path)}" is relative: it is taken from the root`);
    return path === '' ? [] : [path.startsWith('/') ? path : `/${path}`];
  });
  for (const path of [...new Set(paths)].sort()) {
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
