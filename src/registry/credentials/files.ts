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
