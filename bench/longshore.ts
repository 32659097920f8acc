import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

import { measure, type Measured } from './measure.ts';

/** A command to measure, with its own configuration and store. */
export type Longshore = {
  /** The name in a table; empty if there is only one command. */
  readonly label: string;
  readonly bin: string;
  readonly config: string;
  /** The path of its store. */
  readonly store: string;
  /** Runs the command with this configuration and store. */
  readonly run: (args: readonly string[]) => Promise<Measured>;
  /** Arguments that fetch a list, which is written to a file for that. */
  readonly fetchArgs: (images: readonly string[], more?: readonly string[]) => Promise<readonly string[]>;
  /** Fetches a list into an empty store. */
  readonly fetch: (images: readonly string[], more?: readonly string[]) => Promise<Measured>;
  /** Fetches a list into the existing store. */
  readonly fetchMore: (images: readonly string[], more?: readonly string[]) => Promise<Measured>;
  /** Removes the store of the previous run. */
  readonly emptyStore: () => Promise<void>;
};

const built = join(import.meta.dirname, '../dist/src/cli/bin.js');

/** The paths of the commands: the one built here, or those in `LONGSHORE`, separated as in PATH. */
const bins = (process.env['LONGSHORE'] ?? built).split(delimiter).map((bin) => bin || built);

/** The path of a clone in which a command was built, as its name in tables. */
const clonePath = /^(.*)\/dist\/src\/cli\/bin\.js$/;

/** Stores with at least so many files are moved away; others are removed. */
const manyFiles = 500;

/** The commands to measure, side by side. @param certificate - a key that they trust for every name */
export async function openLongshores(directory: string, certificate?: string): Promise<readonly Longshore[]> {
  const opened = bins.map((bin, at) => openLongshore(join(directory, `longshore-${at}`), bin));
  for (const one of opened) {
    await mkdir(one.config, { recursive: true });
    if (certificate !== undefined) await one.run(['trust', '--root', '--skip-fingerprint-review', certificate]);
  }
  return opened;
}

function openLongshore(home: string, bin: string): Longshore {
  const config = join(home, 'config');
  const store = join(home, 'store');
  const list = join(home, 'list.txt');
  const dirs = ['--system-config', config, '--local-config', config, '--user-config', config, '--dir', store];
  let aside = 0;

  const run: Longshore['run'] = (args) => measure([process.execPath, bin, ...args, ...dirs]);

  const fetchArgs: Longshore['fetchArgs'] = async (images, more = []) => {
    await writeFile(list, images.join('\n'));
    return ['fetch', '-f', list, ...more, ...dirs];
  };

  const fetchMore: Longshore['fetchMore'] = async (images, more = []) =>
    measure([process.execPath, bin, ...(await fetchArgs(images, ['--progress=none', ...more]))]);

  /**
   * Moves a store of many files away, to be removed at the end of the case: ext4 without a journal skips blocks freed
   * within the last minute one by one, which took a sixth of the processor time of small images. A store of few files
   * is removed: a virtual disk can be slow for blocks that were never written.
   */
  const emptyStore = async (): Promise<void> => {
    const files = await readdir(store, { recursive: true }).catch(() => []);
    if (files.length < manyFiles) return rm(store, { recursive: true, force: true });
    aside += 1;
    await rename(store, `${store}-${aside}`);
  };

  return {
    label: bins.length > 1 ? ` (${bin === built ? 'this' : bin.replace(clonePath, '$1')})` : '',
    ...{ bin, config, store, run, fetchArgs, fetchMore, emptyStore },
    async fetch(images, more) {
      await emptyStore();
      return fetchMore(images, more);
    },
  };
}
