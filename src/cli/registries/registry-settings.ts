import { join } from 'node:path';

import {
  type ActionOptions,
  credentialFiles,
  type MirrorRule,
  openCredentialChain,
  readCertificates,
  readLookasides,
} from '../../internal.ts';
import { baseDirectory, homeDirectory } from '../config/directories.ts';
import type { Environment } from '../options/environment.ts';
import { readRegistriesConf } from './registries-conf.ts';

/** The settings of this machine and user for registries. Read only when registry images are requested. */
export type RegistrySettings = Required<Pick<ActionOptions, 'mirrors' | 'certificates' | 'lookasides'>>;

/** @param given - mirrors from the command line, which come first. @throws CONFIG_INVALID */
export async function registrySettings(
  given: readonly MirrorRule[],
  environment: Environment,
  onWarning: (message: string) => void,
): Promise<RegistrySettings> {
  const user = join(baseDirectory('XDG_CONFIG_HOME', '.config', environment), 'containers');
  const [configured, certificates, lookasides] = await Promise.all([
    readRegistriesConf(environment),
    readCertificates([
      join(homeDirectory(environment), '.config/containers/certs.d'),
      join(user, 'certs.d'),
      '/etc/containers/certs.d',
      '/etc/docker/certs.d',
    ]),
    readLookasides({
      registriesD: [join(user, 'registries.d'), '/etc/containers/registries.d'],
      fallback: signatureStore(environment),
    }),
  ]);
  configured.warnings.forEach(onWarning);
  return { mirrors: mergeMirrors(configured.rules, given), certificates, lookasides };
}

/** The default directory of signatures in podman and skopeo. @see containers-registries.d(5) */
function signatureStore(environment: Environment): string {
  const isRoot = (process.getuid?.() ?? 0) === 0;
  const data = isRoot ? '/var/lib' : baseDirectory('XDG_DATA_HOME', '.local/share', environment);
  return join(data, 'containers/sigstore');
}

/** Credentials from the files of docker and podman. They are read only when a registry asks for credentials. */
export function registryCredentials(environment: Environment, onWarning: (message: string) => void) {
  const files = credentialFiles(environment, homeDirectory(environment), process.getuid?.() ?? 0);
  return openCredentialChain({ configured: {}, files, environment, onWarning });
}

function mergeMirrors(configured: readonly MirrorRule[], given: readonly MirrorRule[]): readonly MirrorRule[] {
  const rules = new Map(configured.map((rule) => [rule.prefix, rule]));
  for (const { prefix, mirrors } of given) {
    const rule = rules.get(prefix);
    rules.set(prefix, { prefix, ...rule, mirrors: [...mirrors, ...(rule?.mirrors ?? [])] });
  }
  return [...rules.values()];
}
