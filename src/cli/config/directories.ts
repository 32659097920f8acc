import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';

import type { Environment } from '../options/environment.ts';

/** Absolute paths. Each directory may be missing. */
export type ConfigDirectories = {
  readonly system: string;
  readonly local: string;
  readonly user: string;
  /** The file with the trusted root of sigstore, if it is not to be the one in these directories. */
  readonly trustedRoot?: string;
};

export type ConfigDirectoryOptions = {
  readonly systemConfig?: string | undefined;
  readonly localConfig?: string | undefined;
  readonly userConfig?: string | undefined;
  readonly trustedRoot?: string | undefined;
};

/** The directories of configuration and trusted keys, in ascending order of precedence. */
export function configDirectories(options: ConfigDirectoryOptions, environment: Environment): ConfigDirectories {
  return {
    system: resolve(options.systemConfig ?? '/usr/lib/longshore'),
    local: resolve(options.localConfig ?? '/etc/longshore'),
    user: resolve(options.userConfig ?? join(baseDirectory('XDG_CONFIG_HOME', '.config', environment), 'longshore')),
    ...(options.trustedRoot !== undefined && { trustedRoot: resolve(options.trustedRoot) }),
  };
}

/** Relative paths in these variables are invalid and count as unset. @see XDG Base Directory Specification */
export function baseDirectory(variable: string, fallback: string, environment: Environment): string {
  const path = environment[variable] ?? '';
  return path.startsWith('/') ? path : join(homeDirectory(environment), fallback);
}

/**
 * The home directory from the environment, or from the system. If neither has one, as for a user without an entry, a
 * path that does not exist.
 */
export function homeDirectory(environment: Environment): string {
  const named = environment['HOME'] ?? '';
  if (named.startsWith('/')) return named;
  try {
    return userInfo().homedir;
  } catch {
    return '/nonexistent';
  }
}
