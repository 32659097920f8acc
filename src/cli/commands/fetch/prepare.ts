import { type Insecure, isOfRegistry } from '../../../internal.ts';
import type { Io } from '../../command.ts';
import { type Config, readConfig } from '../../config/read-config.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { checksOf, type PolicyHint, policyHint } from '../../options/policy.ts';
import { directoriesOf, namesOf, textOf, valueOf } from '../../options/read.ts';
import { errorLines } from '../../output/error-line.ts';
import { write } from '../../output/write.ts';
import { registrySettings } from '../../registries/registry-settings.ts';
import { listCredentials, listWarnings } from '../lists.ts';
import { readCaFile, type Settings } from './network.ts';
import { fetchOptions } from './options.ts';
import { readRequests, type Requests } from './requests.ts';

/** The input of a run, read and checked. */
export type Prepared = Omit<Requests, 'errors' | 'lists'> &
  Settings & {
    /** Warnings about the input. */
    readonly warnings: readonly string[];
    /** What the policy of this machine, which is not used, would do with a refused image. */
    readonly hint: PolicyHint;
  };

/**
 * Finds everything that is wrong with a request before any work, while the standard output is still empty.
 *
 * @returns undefined when there were invalid references; all of them have been reported. @throws USAGE, CONFIG_INVALID
 */
export async function prepare(io: Io, line: CommandLine): Promise<Prepared | undefined> {
  const { stderr, environment } = io;
  const asked = fetchOptions(line);
  const ca = await valueOf(line, 'ca-file', readCaFile);
  const lists = line.values('from-file').map(({ text }) => text);
  if (line.operands.length + lists.length === 0) throw usageError('name at least one image, or a list with -f');
  const {
    errors,
    lists: read,
    ...requests
  } = await readRequests({
    asked: line.operands,
    lists,
    names: namesOf(line),
    io,
  });
  if (errors.length > 0) {
    await write(stderr, errorLines(errors));
    return undefined;
  }
  const directories = directoriesOf(line, environment);
  const config = withCredentials(await readConfig(directories), listCredentials(read));
  const { policy, insecure, warnings: lifted } = await checksOf(line, config);
  const options = { ...asked, insecure };
  const areOfRegistry = requests.tags.length > 0 || requests.apps.some(isOfRegistry);
  const warnings = [...lifted, ...listWarnings(read, insecure)];
  if (requests.apps.length + requests.tags.length === 0)
    warnings.push('no list names an image: there is nothing to do');
  const registries = areOfRegistry
    ? await registrySettings(options.mirrors, environment, (message) => warnings.push(message))
    : undefined;
  const dir = textOf(line, 'dir');
  const hint = areOfRegistry && !policy && !insecure.image ? await policyHint(environment) : () => undefined;
  return { ...requests, hint, options, policy, config, directories, environment, dir, ca, registries, warnings };
}

/** The credentials of lists are used before those of the configuration. */
export function withCredentials(config: Config, given: Config['dockerCredentials']): Config {
  return { ...config, dockerCredentials: { ...config.dockerCredentials, ...given } };
}

/** Warnings about disabled checks, shown before the work begins. */
export function insecureWarnings({ tls, image, pubkey }: Insecure): readonly string[] {
  return [
    ...(tls ? ['TLS verification has been disabled'] : []),
    ...(tls && pubkey && !image ? ['signing keys may come over a connection whose certificate is not checked'] : []),
    ...(image ? ['image signature verification has been disabled'] : []),
  ];
}

/** Names what is still without an outcome to who awaits it. @returns a function to call with each outcome */
export function awaitOutcomes({ awaits }: Pick<Io, 'awaits'>, apps: Prepared['apps']) {
  const isDone = new Uint8Array(apps.length);
  awaits(() => apps.flatMap(({ image }, index) => (isDone[index] ? [] : [image])));
  return ({ index }: { readonly index?: number }): void => {
    if (index !== undefined) isDone[index] = 1;
  };
}
