import { posix } from 'node:path';

import type { ExtractLayer } from '../tasks.ts';

export type Whitelist = (path: string, isDirectory: boolean) => boolean;

/**
 * Which paths of an image may go into a tree: its own list does without nothing but directories, the one from above
 * without nothing at all. The rootfs itself is always taken.
 *
 * @returns a function of paths in latin1 text, as archives have them.
 * @see appc 7.3.2, 7.4
 */
export function createWhitelist({ own, inherited }: Pick<ExtractLayer, 'own' | 'inherited'>): Whitelist {
  const [mine, above] = [listed(own), listed(inherited)];
  return (path, isDirectory) =>
    path === 'rootfs' || ((isDirectory || (mine?.has(path) ?? true)) && (above?.has(path) ?? true));
}

function listed(paths: readonly string[]): ReadonlySet<string> | undefined {
  return paths.length === 0 ? undefined : new Set(paths.map(toArchivePath));
}

/** `/a`, `a`, `//a`, `/a/` and `/x/../a` are the same. */
function toArchivePath(path: string): string {
  const clean = posix.join('rootfs', path).replace(/\/$/, '');
  return Buffer.from(clean).toString('latin1');
}
