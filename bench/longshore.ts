import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { measure, type Measured } from './measure.ts';

/** The command as published; another one where `LONGSHORE` names its file. */
export const bin = process.env['LONGSHORE'] ?? join(import.meta.dirname, '../dist/src/cli/bin.js');

/** The command with a configuration of its own. */
export function longshore(directory: string, args: readonly string[]): readonly string[] {
  const config = join(directory, 'config');
  const dirs = ['--system-config', config, '--local-config', config, '--user-config', config];
  return [process.execPath, bin, ...args, ...dirs, '--dir', join(directory, 'store')];
}

/** Trusts a key for everything, once and for all rounds. */
export async function trust(directory: string, certificate: string): Promise<void> {
  await mkdir(join(directory, 'config'), { recursive: true });
  await measure(longshore(directory, ['trust', '--root', '--skip-fingerprint-review', certificate]));
}

/** Of a store that is put aside; those of fewer are removed. */
const manyFiles = 500;

let aside = 0;

/**
 * Takes the store of the run before away. One of many files is put aside, for the end of the case to remove: ext4 without a
 * journal passes over what was freed within a minute, one by one, which took a sixth of the processor time of small images. One
 * of few files is removed: a virtual disk may take long for blocks that were never written to.
 */
export async function emptyStore(directory: string): Promise<void> {
  const store = join(directory, 'store');
  const files = await readdir(store, { recursive: true }).catch(() => []);
  if (files.length < manyFiles) return rm(store, { recursive: true, force: true });
  aside += 1;
  await rename(store, join(directory, `store-${aside}`));
}

/** Fetches a list into an empty store. */
export async function fetchList(
  directory: string,
  images: readonly string[],
  more: readonly string[] = [],
): Promise<Measured> {
  await emptyStore(directory);
  return fetchMore(directory, images, more);
}

/** Fetches a list into the store as it is. */
export async function fetchMore(
  directory: string,
  images: readonly string[],
  more: readonly string[] = [],
): Promise<Measured> {
  const list = join(directory, 'list.txt');
  await writeFile(list, images.join('\n'));
  return measure(longshore(directory, ['fetch', '--progress=none', '-f', list, ...more]));
}

/** Fetches what is named into an empty store. */
export async function fetchImages(directory: string, args: readonly string[]): Promise<Measured> {
  await emptyStore(directory);
  return measure(longshore(directory, ['fetch', '--progress=none', ...args]));
}
