import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { show, type MirrorRule } from '../../index.ts';
import { configError } from '../config/config-error.ts';
import { baseDirectory } from '../config/directories.ts';
import type { Environment } from '../options/environment.ts';

/** Far above any such file. */
const maxBytes = 1024 * 1024;

/**
 * The rules that registries.conf and what stands in the directories beside it have for registries, a later file's
 * taking the place of an earlier one's with the same prefix.
 *
 * @throws CONFIG_INVALID naming the file
 * @see containers-registries.conf(5), containers-registries.conf.d(5)
 */
export async function readRegistriesConf(
  environment: Environment,
  system = '/etc/containers',
): Promise<readonly MirrorRule[]> {
  const rules = new Map<string, MirrorRule>();
  for (const path of await filesOf(environment, system)) {
    const text = await readText(path);
    if (text === undefined) continue;
    const { parseRegistriesConf } = await import('./parse-registries-conf.ts');
    for (const rule of parseRegistriesConf(text, path)) rules.set(rule.prefix, rule);
  }
  return [...rules.values()];
}

async function filesOf(environment: Environment, system: string): Promise<readonly string[]> {
  const named = environment['CONTAINERS_REGISTRIES_CONF'];
  if (named) return [named];
  const user = join(baseDirectory('XDG_CONFIG_HOME', '.config', environment), 'containers');
  const main = [user, system].map((directory) => join(directory, 'registries.conf'));
  const own = (await isThere(main[0] ?? '')) ? main.slice(0, 1) : main.slice(1);
  return [...own, ...(await listConf(join(system, 'registries.conf.d'))), ...(await listConf(`${main[0] ?? ''}.d`))];
}

async function listConf(directory: string): Promise<readonly string[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => name.endsWith('.conf'))
      .toSorted()
      .map((name) => join(directory, name));
  } catch (error) {
    if (isAbsent(error)) return [];
    throw configError(directory, `cannot be read: ${codeOf(error)}`, error);
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => !isAbsent(error),
  );
}

async function readText(path: string): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > maxBytes) throw configError(path, `is larger than ${maxBytes} bytes`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    if (error instanceof Error && 'syscall' in error) {
      throw configError(path, `cannot be read: ${codeOf(error)}`, error);
    }
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(codeOf(error));
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? show(String(error.code)) : 'unknown';
}
