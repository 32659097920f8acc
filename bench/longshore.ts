import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

import { measure, type Measured } from './measure.ts';

/** One of the commands that are measured, with a configuration and a store of its own. */
export type Longshore = {
  /** What tells it from the others in a table; empty where it is the only one. */
  readonly label: string;
  readonly bin: string;
  readonly config: string;
  /** Runs a command with that configuration and store. */
  readonly run: (args: readonly string[]) => Promise<Measured>;
  /** Arguments that fetch a list, which is written for that. */
  readonly fetchArgs: (images: readonly string[], more?: readonly string[]) => Promise<readonly string[]>;
  /** Fetches a list into an empty store. */
  readonly fetch: (images: readonly string[], more?: readonly string[]) => Promise<Measured>;
  /** Fetches a list into the store as it is. */
  readonly fetchMore: (images: readonly string[], more?: readonly string[]) => Promise<Measured>;
  /** Takes the store of the run before away. */
  readonly emptyStore: () => Promise<void>;
};

const built = join(import.meta.dirname, '../dist/src/cli/bin.js');

/** The files of the commands: what is built here, or, as in PATH, those that `LONGSHORE` names. */
const bins = (process.env['LONGSHORE'] ?? built).split(delimiter).map((bin) => bin || built);

/** Of a command that is built in a clone: what tells the clones apart. */
const clonePath = /^(.*)\/dist\/src\/cli\/bin\.js$/;

/** Of a store that is put aside; those of fewer are removed. */
const manyFiles = 500;

/** The commands that are measured, side by side. @param certificate - a key that they trust for everything */
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
   * A store of many files is put aside, for the end of the case to remove: ext4 without a journal passes over what was freed
   * within a minute, one by one, which took a sixth of the processor time of small images. One of few files is removed: a
   * virtual disk may take long for blocks that were never written to.
   */
  const emptyStore = async (): Promise<void> => {
    const files = await readdir(store, { recursive: true }).catch(() => []);
    if (files.length < manyFiles) return rm(store, { recursive: true, force: true });
    aside += 1;
    await rename(store, `${store}-${aside}`);
  };

  return {
    label: bins.length > 1 ? ` (${bin === built ? 'this' : bin.replace(clonePath, '$1')})` : '',
    ...{ bin, config, run, fetchArgs, fetchMore, emptyStore },
    async fetch(images, more) {
      await emptyStore();
      return fetchMore(images, more);
    },
  };
}
