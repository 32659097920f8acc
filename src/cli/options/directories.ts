import { configDirectories, type ConfigDirectories } from '../config/directories.ts';
import type { CommandLine } from './command-line.ts';
import type { Environment } from './environment.ts';
import { textOf } from './read.ts';

/** The configuration directories that a command line names. */
export function directoriesOf(line: CommandLine, environment: Environment): ConfigDirectories {
  return configDirectories(
    {
      systemConfig: textOf(line, 'system-config'),
      localConfig: textOf(line, 'local-config'),
      userConfig: textOf(line, 'user-config'),
    },
    environment,
  );
}
