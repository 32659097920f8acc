import { checkConfig, configInvalid, parseConfigJson, show } from '../../internal.ts';
import { type Auth, type Credentials, heading, kinds } from './kinds.ts';

/** A configuration file. */
export type ConfigDocument = { readonly path: string; readonly bytes: Uint8Array };

export type ConfigItem =
  | { readonly kind: 'auth'; readonly path: string; readonly value: Auth }
  | {
      readonly kind: 'dockerAuth';
      readonly path: string;
      readonly value: { readonly registries: readonly string[]; readonly credentials: Credentials };
    }
  | { readonly kind: 'policy'; readonly path: string; readonly value: { readonly file: string } }
  | { readonly kind: 'paths'; readonly path: string; readonly value: { readonly data?: string | undefined } }
  | {
      readonly kind: 'discovery';
      readonly path: string;
      readonly value: { readonly prefix: string; readonly origin: string };
    };

/** @param directory - `auth.d` and so on: it decides which kinds are allowed. @throws CONFIG_INVALID */
export function parseDocument({ path, bytes }: ConfigDocument, directory: string): ConfigItem {
  const json = parseConfigJson(path, bytes);
  const { rktKind, rktVersion } = checkConfig(path, heading, json);
  const allowed = Object.entries(kinds)
    .filter(([, kind]) => kind.directory === directory)
    .map(([name]) => name);
  if (!allowed.includes(rktKind)) {
    throw configInvalid(
      path,
      `is of kind "${show(rktKind)}", but the files in ${directory} must be of kind ${allowed.join(' or ')}`,
    );
  }
  if (rktVersion !== 'v1') {
    throw configInvalid(
      path,
      `no parser available for configuration of kind "${rktKind}" and version "${show(rktVersion)}"`,
    );
  }
  switch (rktKind) {
    case 'auth':
      return { kind: 'auth', path, value: checkConfig(path, kinds.auth.shape, json) };
    case 'dockerAuth':
      return { kind: 'dockerAuth', path, value: checkConfig(path, kinds.dockerAuth.shape, json) };
    case 'policy':
      return { kind: 'policy', path, value: checkConfig(path, kinds.policy.shape, json) };
    case 'paths':
      return { kind: 'paths', path, value: checkConfig(path, kinds.paths.shape, json) };
    default:
      return { kind: 'discovery', path, value: checkConfig(path, kinds.discovery.shape, json) };
  }
}
