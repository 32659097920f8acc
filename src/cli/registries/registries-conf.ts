import { join } from 'node:path';

import { listConfigDirectory, type MirrorRule, readConfigFile } from '../../internal.ts';
import { isThere } from '../../system/files.ts';
import { baseDirectory, homeDirectory } from '../config/directories.ts';
import type { Environment } from '../options/environment.ts';
import type { RegistriesConf } from './parse-registries-conf.ts';

/**
 * Reads the rules of registries.conf and of the directories next to it, sorted by prefix. A rule in a later file
 * replaces an earlier one with the same prefix.
 *
 * @throws CONFIG_INVALID with the path of the file
 * @see containers-registries.conf(5), containers-registries.conf.d(5)
 */
export async function readRegistriesConf(
  environment: Environment,
  system = '/etc/containers',
): Promise<RegistriesConf> {
  const [rules, warnings] = [new Map<string, MirrorRule>(), new Array<string>()];
  for (const path of await filesOf(environment, system)) {
    const { parseRegistriesConf } = await import('./parse-registries-conf.ts');
    const file = parseRegistriesConf((await readConfigFile(path)).toString(), path);
    for (const rule of file.rules) rules.set(rule.prefix, rule);
    warnings.push(...file.warnings);
  }
  return { rules: [...rules.values()].toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1)), warnings };
}

/**
 * A main file of the user replaces all files of the system; a file named by the environment replaces only the main
 * file.
 */
async function filesOf(environment: Environment, system: string): Promise<readonly string[]> {
  const users = await userDirectory(environment);
  const [own, others] = [join(users, 'registries.conf'), join(system, 'registries.conf')];
  const named = environment['CONTAINERS_REGISTRIES_CONF'];
  if (!named && (await isThere(own))) return [own, ...(await listConf(`${own}.d`))];
  const main = named ?? ((await isThere(others)) ? others : undefined);
  return [...(main ? [main] : []), ...(await listConf(`${others}.d`)), ...(await listConf(`${own}.d`))];
}

/**
 * Podman and skopeo look below the home directory and ignore XDG_CONFIG_HOME, so a directory there takes precedence.
 */
async function userDirectory(environment: Environment): Promise<string> {
  const home = join(homeDirectory(environment), '.config/containers');
  const main = join(home, 'registries.conf');
  if ((await isThere(main)) || (await isThere(`${main}.d`))) return home;
  return join(baseDirectory('XDG_CONFIG_HOME', '.config', environment), 'containers');
}

async function listConf(directory: string): Promise<readonly string[]> {
  const entries = (await listConfigDirectory(directory)) ?? [];
  return entries.flatMap(({ path, isDirectory }) => (path.endsWith('.conf') && !isDirectory ? [path] : []));
}
