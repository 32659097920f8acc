import type * as z from 'zod';

import {
  checkShape,
  configInvalid,
  describeJsonPlace,
  formatFieldFault,
  parseJsonStrict,
  show,
} from '../../internal.ts';
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
  | { readonly kind: 'paths'; readonly path: string; readonly value: { readonly data?: string | undefined } }
  | {
      readonly kind: 'discovery';
      readonly path: string;
      readonly value: { readonly prefix: string; readonly origin: string };
    };

/** @param directory - `auth.d` and so on: it decides which kinds are allowed. @throws CONFIG_INVALID */
export function parseDocument({ path, bytes }: ConfigDocument, directory: string): ConfigItem {
  const json = parseJson(path, bytes);
  const { rktKind, rktVersion } = checked(path, heading, json);
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
      return { kind: 'auth', path, value: checked(path, kinds.auth.shape, json) };
    case 'dockerAuth':
      return { kind: 'dockerAuth', path, value: checked(path, kinds.dockerAuth.shape, json) };
    case 'paths':
      return { kind: 'paths', path, value: checked(path, kinds.paths.shape, json) };
    default:
      return { kind: 'discovery', path, value: checked(path, kinds.discovery.shape, json) };
  }
}

function parseJson(path: string, bytes: Uint8Array): unknown {
  const result = parseJsonStrict(bytes);
  if (!result.ok) throw configInvalid(path, describeJsonPlace(result.fault));
  return result.value;
}

function checked<T>(path: string, shape: z.ZodType<T>, value: unknown): T {
  const result = checkShape(shape, value);
  if (result.ok) return result.value;
  throw configInvalid(path, formatFieldFault(result.fault));
}
