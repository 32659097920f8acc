import { join } from 'node:path';

import {
  credentialFiles,
  openCredentialChain,
  readCertificates,
  readLookasides,
  type ActionOptions,
  type MirrorRule,
} from '../../index.ts';
import { baseDirectory, homeDirectory } from '../config/directories.ts';
import type { Environment } from '../options/environment.ts';
import { readRegistriesConf } from './registries-conf.ts';

/** What this machine and this user have set up for registries, read where images of registries are asked for. */
export type RegistrySettings = Required<Pick<ActionOptions, 'mirrors' | 'certificates' | 'lookasides'>>;

/** @param given - mirrors that the command line names: they come first. @throws CONFIG_INVALID */
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

/** Where podman and skopeo put signatures when nobody says otherwise. @see containers-registries.d(5) */
function signatureStore(environment: Environment): string {
  const isRoot = (process.getuid?.() ?? 0) === 0;
  const data = isRoot ? '/var/lib' : baseDirectory('XDG_DATA_HOME', '.local/share', environment);
  return join(data, 'containers/sigstore');
}

/** Credentials as docker and podman keep them; nothing is read before a registry wants some. */
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
