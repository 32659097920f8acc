import { join, resolve } from 'node:path';

import type { Environment } from '../options/environment.ts';
import { baseDirectory, configDirectories } from './directories.ts';
import { readConfig } from './read-config.ts';

/** Options as yargs returns them. */
export type DirectoryArguments = {
  readonly dir?: string | undefined;
  readonly 'system-config'?: string | undefined;
  readonly 'local-config'?: string | undefined;
  readonly 'user-config'?: string | undefined;
};

/**
 * The directory of the store: `--dir`, `LONGSHORE_DIR`, the `paths` configuration, otherwise `/var/lib/longshore` for
 * root and `$XDG_DATA_HOME/longshore` for other users.
 *
 * @returns an absolute path. @throws CONFIG_INVALID
 */
export async function dataDirectory(argv: DirectoryArguments, environment: Environment): Promise<string> {
  const given = argv.dir ?? (environment['LONGSHORE_DIR'] || undefined);
  if (given !== undefined) return resolve(given);
  const directories = configDirectories(
    { systemConfig: argv['system-config'], localConfig: argv['local-config'], userConfig: argv['user-config'] },
    environment,
  );
  return (await readConfig(directories)).dataDirectory ?? defaultDataDirectory(environment);
}

export function defaultDataDirectory(environment: Environment): string {
  if (process.getuid?.() === 0) return '/var/lib/longshore';
  return join(baseDirectory('XDG_DATA_HOME', '.local/share', environment), 'longshore');
}
