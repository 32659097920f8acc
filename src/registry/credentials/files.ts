import { join } from 'node:path';

/** Whose variables these are is for the caller to say. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** `dockercfg` is the old form without anything around the credentials; `isNamed` means that it was asked for by name. */
export type CredentialFile = {
  readonly path: string;
  readonly kind: 'containers' | 'docker' | 'dockercfg';
  readonly isNamed: boolean;
};

/**
 * Where podman and docker keep the credentials of registries, the first to be asked first. Not all are there.
 *
 * @param home - the home directory, used where HOME is not set.
 * @param uid - of the user, for the runtime directory where XDG_RUNTIME_DIR is not set.
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
