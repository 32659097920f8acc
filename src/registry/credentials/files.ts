import { join } from 'node:path';

/** Environment variables, which the caller reads. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** `dockercfg` is docker's older format, which has only the credentials. `isNamed` is true if the user gave the path. */
export type CredentialFile = {
  readonly path: string;
  readonly kind: 'containers' | 'docker' | 'dockercfg';
  readonly isNamed: boolean;
};

/**
 * The files in which podman and docker keep the credentials of registries, in the order of lookup. Not all of them exist.
 *
 * @param home - the home directory, used if HOME is not set.
 * @param uid - the user's ID, used for the runtime directory if XDG_RUNTIME_DIR is not set.
 * @see containers-auth.json(5)
 */
export function credentialFiles(environment: Environment, home: string, uid: number): readonly CredentialFile[] {
  const named = environment['REGISTRY_AUTH_FILE'];
  if (named) return [{ path: named, kind: 'containers', isNamed: true }];
  const homeDirectory = environment['HOME'] || home;
  const runtime = environment['XDG_RUNTIME_DIR'] || `/run/containers/${uid}`;
  const config = environment['XDG_CONFIG_HOME'] || join(homeDirectory, '.config');
  const docker = environment['DOCKER_CONFIG'] || join(homeDirectory, '.docker');
  const unnamed = { isNamed: false } as const;
  return [
    {
      path: join(runtime, environment['XDG_RUNTIME_DIR'] ? 'containers/auth.json' : 'auth.json'),
      kind: 'containers',
      ...unnamed,
    },
    { path: join(config, 'containers/auth.json'), kind: 'containers', ...unnamed },
    { path: join(docker, 'config.json'), kind: 'docker', ...unnamed },
    { path: join(homeDirectory, '.dockercfg'), kind: 'dockercfg', ...unnamed },
  ];
}

const hubNames: readonly string[] = ['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'];

/** The canonical name of a registry: its host, or its host and a namespace. */
export function registryKey(text: string): string {
  const [, scheme, rest = ''] = /^(https?:\/\/)?(.*?)\/*$/is.exec(text) ?? [];
  const slash = rest.indexOf('/');
  const named = (slash === -1 ? rest : rest.slice(0, slash)).toLowerCase();
  const host = hubNames.includes(named) ? 'docker.io' : named;
  const namespace = slash === -1 ? '' : rest.slice(slash);
  const isAddress = scheme !== undefined || (host === 'docker.io' && /^\/v[12]$/.test(namespace));
  return isAddress ? host : host + namespace;
}

/** Entries by canonical name. Of two entries for the same registry, the one that is written canonically is used. */
export function byRegistryKey<T>(entries: Readonly<Record<string, T>>): ReadonlyMap<string, T> {
  const all = Object.entries(entries).map(([text, value]) => ({ text, key: registryKey(text), value }));
  const ordered = [...all.filter(({ text, key }) => text !== key), ...all.filter(({ text, key }) => text === key)];
  return new Map(ordered.map(({ key, value }) => [key, value]));
}

/** The entry for a repository, else for the namespaces above it, else for its registry. */
export function findForRepository<T>(entries: ReadonlyMap<string, T>, host: string, repository: string): T | undefined {
  const parts = [registryKey(host), ...repository.split('/')];
  for (let length = parts.length; length > 0; length -= 1) {
    const found = entries.get(parts.slice(0, length).join('/'));
    if (found !== undefined) return found;
  }
  return undefined;
}
