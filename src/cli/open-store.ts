import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';

import { openRepaired, openStore, type Repaired, type Store } from '../index.ts';
import { dataDirectory, type DirectoryArguments } from './config/data-directory.ts';
import type { Environment } from './options/environment.ts';
import { isThere } from '../system/files.ts';

/**
 * What a command does to the store. `read` changes nothing; `use` only notes that images were used, and does without
 * that where the store cannot be written; `change` is for a store that is there; `fill` makes one.
 */
export type Access = 'read' | 'use' | 'change' | 'fill';

/** Opens the store of the data directory. One that is not there is an empty store to everything but `fill`. */
export async function openCliStore(argv: DirectoryArguments, environment: Environment, wanted: Access): Promise<Store> {
  const dir = await dataDirectory(argv, environment);
  return openStore({ dir, readOnly: await isReadOnly(dir, wanted) });
}

/** As `change`, but a damaged index makes way for a new one, which lists nothing yet. */
export async function openForRepair(argv: DirectoryArguments, environment: Environment): Promise<Repaired> {
  const dir = await dataDirectory(argv, environment);
  if (!(await isThere(dir))) return { store: await openStore({ dir, readOnly: true }) };
  return openRepaired(dir, Date.now());
}

async function isReadOnly(dir: string, wanted: Access): Promise<boolean> {
  switch (wanted) {
    case 'read':
      return true;
    case 'use':
      return !(await isWritable(join(dir, 'index.sqlite')));
    case 'change':
      return !(await isThere(dir));
    case 'fill':
      return false;
  }
}

async function isWritable(path: string): Promise<boolean> {
  try {
    await access(path, constants.W_OK);
    return true;
  } catch {
    return false; // whatever the reason: it can still be read, or opening it says what is wrong
  }
}
