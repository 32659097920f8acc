import * as z from 'zod';

import { readConfigFile } from '../../image/config-file.ts';
import { mapOf, text, texts } from '../../image/go-json.ts';
import { checkConfig, parseConfigJson } from '../../image/shape.ts';
import { show } from '../../image/show.ts';
import { isNoEntry } from '../../system/errno.ts';
import type { RegistryCredential } from '../types.ts';
import { byRegistryKey, type CredentialFile } from './files.ts';

export type Credentials = {
  readonly path: string;
  /** Helpers by registry: `gcloud` for the program docker-credential-gcloud. */
  readonly helpers: ReadonlyMap<string, string>;
  /** The helper to ask for every registry. */
  readonly store: string | undefined;
  /** Credentials by registry or namespace. */
  readonly auths: ReadonlyMap<string, RegistryCredential>;
};

const members = { auth: text, username: text, password: text, identitytoken: text, registrytoken: text };
const entry = z.preprocess((value) => value ?? {}, z.object(members));
const auths = mapOf(entry);
const file = z.object({ auths, credHelpers: texts, credsStore: text });
const dockercfg = auths.transform((record) => ({ auths: record, credHelpers: {}, credsStore: '' }));

/**
 * @param warn - called with a warning for each ignored entry; it does not show the entry's content.
 * @returns undefined if there is no such file.
 * @throws ImageError CONFIG_INVALID
 */
export async function readCredentials(
  { path, kind, isNamed }: CredentialFile,
  warn: (message: string) => void,
): Promise<Credentials | undefined> {
  const bytes = await readConfigFile(path, { isNamed }).catch((error: Error) => {
    if (!isNamed && isNoEntry(error.cause)) return undefined;
    throw error;
  });
  if (!bytes || isBlank(bytes)) return undefined;
  const shape: z.ZodType<z.output<typeof file>> = kind === 'dockercfg' ? dockercfg : file;
  const data = checkConfig(path, shape, parseConfigJson(path, bytes, { caseSensitive: true }));
  const known: Record<string, RegistryCredential> = {};
  for (const [registry, value] of Object.entries(data.auths)) {
    const credential = credentialOf(value);
    if (credential) known[registry] = credential;
    else if (value.auth) warn(`"${show(path, 1000)}": the entry for ${show(registry)} is not a user and a password`);
  }
  return {
    path,
    helpers: byRegistryKey(Object.fromEntries(Object.entries(data.credHelpers).filter(([, name]) => name !== ''))),
    store: kind === 'docker' ? data.credsStore || undefined : undefined,
    auths: byRegistryKey(known),
  };
}

function credentialOf(value: z.infer<typeof entry>): RegistryCredential | undefined {
  if (value.identitytoken) return { kind: 'identity', token: value.identitytoken };
  if (value.registrytoken) return { kind: 'bearer', token: value.registrytoken };
  if (value.username && value.password) return { kind: 'basic', user: value.username, password: value.password };
  const pair = Buffer.from(value.auth, 'base64').toString('utf8');
  const [, user, password] = /^([^:]+):(.*?)\0*$/s.exec(pair) ?? [];
  return user === undefined || password === undefined ? undefined : { kind: 'basic', user, password };
}

/** docker accepts an empty file as one without credentials. */
function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d);
}
