import type { Io } from '../io.ts';
import { readConfig, type Config } from '../config/read-config.ts';
import type { ConfigDirectories } from '../config/directories.ts';
import type { CommandLine } from '../options/command-line.ts';
import { directoriesOf } from '../options/directories.ts';
import type { Environment } from '../options/environment.ts';
import { textOf, valueOf } from '../options/read.ts';
import { usageError } from '../options/usage-error.ts';
import { errorLines } from '../output/error-line.ts';
import { write } from '../output/write.ts';
import { registrySettings, type RegistrySettings } from '../registries/registry-settings.ts';
import { readCaFile } from './ca-file.ts';
import { fetchOptions, type FetchOptions } from './fetch-options.ts';
import { readRequests } from './read-requests.ts';
import type { Requests } from './requests.ts';

/** What a run is about, read and checked. */
export type Prepared = Omit<Requests, 'errors'> & {
  readonly options: FetchOptions;
  readonly config: Config;
  readonly directories: ConfigDirectories;
  readonly environment: Environment;
  /** The value of `--dir`. */
  readonly dir: string | undefined;
  /** PEM texts. */
  readonly ca: readonly string[] | undefined;
  /** Absent where no image of a registry is asked for. */
  readonly registries: RegistrySettings | undefined;
  /** About what was read. */
  readonly warnings: readonly string[];
};

/**
 * Finds everything that may be wrong with a request before any work: then the standard output stays empty.
 *
 * @returns undefined when references cannot be understood, all of which have been named then. @throws USAGE, CONFIG_INVALID
 */
export async function prepare(
  { stdin, stderr, environment, signal }: Io,
  line: CommandLine,
): Promise<Prepared | undefined> {
  const options = fetchOptions(line);
  const ca = await valueOf(line, 'ca-file', readCaFile);
  const lists = line.values('from-file').map(({ text }) => text);
  if (line.operands.length + lists.length === 0) throw usageError('name at least one image, or a list with -f');
  const { errors, ...requests } = await readRequests({ asked: line.operands, lists, stdin, signal });
  if (errors.length > 0) {
    await write(stderr, errorLines(errors));
    return undefined;
  }
  const directories = directoriesOf(line, environment);
  const config = await readConfig(directories);
  const isOfRegistry = requests.apps.some(({ image }) => /^docker:/i.test(image));
  const warnings = requests.apps.length === 0 ? ['no list names an image: there is nothing to do'] : [];
  const registries = isOfRegistry
    ? await registrySettings(options.mirrors, environment, (message) => warnings.push(message))
    : undefined;
  return { ...requests, options, config, directories, environment, dir: textOf(line, 'dir'), ca, registries, warnings };
}
