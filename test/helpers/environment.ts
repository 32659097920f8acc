import { join } from 'node:path';

/** The environment of a longshore with configuration, keys and a store of its own, all below a directory. */
export function environmentIn(directory: string) {
  return {
    HOME: directory,
    LONGSHORE_SYSTEM_CONFIG: join(directory, 'system'),
    LONGSHORE_LOCAL_CONFIG: join(directory, 'local'),
    LONGSHORE_DIR: join(directory, 'store'),
  };
}
