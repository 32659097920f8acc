import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';

import { openRepaired, openStore, type Repaired, type Store } from '../internal.ts';
import { isThere } from '../system/files.ts';
import { dataDirectory, type DirectoryArguments } from './config/data-directory.ts';
import type { Environment } from './options/environment.ts';

/**
 * How a command uses the store. `read` changes nothing. `use` only records that images were used, and not if the store
 * cannot be written. `change` needs an existing store. `fill` creates one.
 */
export type Access = 'read' | 'use' | 'change' | 'fill';

/** Opens the store in the data directory. One that does not exist counts as empty, except for `fill`. */
export async function openCliStore(
  argv: DirectoryArguments,
  environment: Environment,
  access: Access,
  writesLittle = false,
): Promise<Store> {
  const dir = await dataDirectory(argv, environment);
  return openStore({ dir, readOnly: await isReadOnly(dir, access), writesLittle });
}

/** As `change`, but a damaged index is replaced by an empty one. */
export async function openForRepair(argv: DirectoryArguments, environment: Environment): Promise<Repaired> {
  const dir = await dataDirectory(argv, environment);
  if (!(await isThere(dir))) return { store: await openStore({ dir, readOnly: true }) };
  return openRepaired(dir, Date.now());
}

async function isReadOnly(dir: string, access: Access): Promise<boolean> {
  switch (access) {
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
    return false; // whatever the reason: it can be read, or opening it reports the error
  }
}
