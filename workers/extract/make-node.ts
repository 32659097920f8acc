import { spawnSync } from 'node:child_process';

import type { TarEntry } from '../tar/tar-reader.ts';

const types = { 'character-device': 'c', 'block-device': 'b', fifo: 'p' } as const;
const timeout = 10_000;

export type NodeKind = keyof typeof types;

/**
 * A device or a fifo, by the system's mknod: Node has no call for it. Devices need root, and often more than root in a
 * container has.
 *
 * @returns false when it could not be made.
 */
export function makeNode(path: Buffer, kind: NodeKind, { attributes: { major, minor } }: TarEntry): boolean {
  const name = path.toString();
  if (!Buffer.from(name).equals(path)) return false; // arguments are UTF-8, paths need not be
  const numbers = kind === 'fifo' ? [] : [String(major), String(minor)];
  return spawnSync('mknod', ['--', name, types[kind], ...numbers], { stdio: 'ignore', timeout }).status === 0;
}
