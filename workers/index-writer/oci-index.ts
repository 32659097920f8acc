import { lstatSync, type BigIntStats } from 'node:fs';

import { ociIndexBytes, parseOciIndex, unreadableOciIndex, type OciIndex } from '../../src/image/oci-index.ts';
import { readBounded } from './read-bounded.ts';

/** `index.json` as it stands; the stamp is that of this state of the file. */
export type OciIndexFile = OciIndex & { readonly text: string; readonly stamp: string };

/**
 * @returns undefined when there is none.
 * @throws STORE_CORRUPT when it cannot be read.
 */
export function readOciIndex(path: string): OciIndexFile | undefined {
  try {
    const file = readBounded(path, ociIndexBytes);
    return file && { ...parseOciIndex(file.text), text: file.text, stamp: formatStamp(file.stat) };
  } catch (cause) {
    throw unreadableOciIndex(path, cause);
  }
}

/** Tells one state of a file from another; empty when it is not there. */
export function stampOf(path: string): string {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat ? formatStamp(stat) : '';
}

function formatStamp({ size, mtimeNs, ctimeNs, ino }: BigIntStats): string {
  return `${size} ${mtimeNs} ${ctimeNs} ${ino}`;
}
