import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { isNoEntry } from '../system/errno.ts';
import { openOwnFile, readAtMost } from '../system/files.ts';
import {
  findOwnEntries,
  ociIndexBytes,
  parseOciIndex,
  unreadableOciIndex,
  type OciDescriptor,
  type OciIndex,
} from '../image/oci-index.ts';

/** An `index.json`; undefined where there is none. @throws STORE_CORRUPT when it cannot be read */
export async function readOciIndex(path: string): Promise<OciIndex | undefined> {
  try {
    return parseOciIndex(await readText(path));
  } catch (error) {
    if (isNoEntry(error)) return undefined;
    throw unreadableOciIndex(path, error);
  }
}

async function readText(path: string): Promise<string> {
  await using file = await openOwnFile(path);
  const bytes = await readAtMost(file, ociIndexBytes + 1);
  if (bytes.length > ociIndexBytes) throw new Error(`it has more than ${ociIndexBytes} bytes`);
  return bytes.toString();
}

/**
 * What `index.json` and those that were set aside in the same directory say of our images, also where they are damaged: every
 * entry that is whole. The present one comes first, then the latest of the others.
 */
export async function salvageEntries(path: string): Promise<readonly OciDescriptor[]> {
  const [directory, name] = [dirname(path), basename(path)];
  const names = (await readdir(directory)).filter((one) => one.startsWith(`${name}.damaged-`));
  const entries: OciDescriptor[] = [];
  for (const one of [name, ...names.sort().reverse()]) {
    const text = await readText(join(directory, one)).catch(() => ''); // it says nothing
    entries.push(...findOwnEntries(text));
  }
  return entries;
}
