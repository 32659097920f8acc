import { open } from 'node:fs/promises';

import * as z from 'zod';

import { errnoOf, isNoEntry } from '../../system/errno.ts';
import { formatJsonPlace, parseJsonStrict } from '../../image/json.ts';
import { show } from '../../image/show.ts';
import type { RegistryCredential } from '../types.ts';
import { configInvalid } from './config-invalid.ts';
import type { CredentialFile } from './files.ts';
import { byRegistryKey } from './registry-keys.ts';

export type Credentials = {
  readonly path: string;
  /** Helpers by registry: `gcloud` for the program docker-credential-gcloud. */
  readonly helpers: ReadonlyMap<string, string>;
  /** The helper to ask for every registry. */
  readonly store: string | undefined;
  /** By registry or namespace. */
  readonly auths: ReadonlyMap<string, RegistryCredential>;
};

/** Far above any such file. */
const maxBytes = 1024 * 1024;

const entry = z.object({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
});
const auths = z.record(z.string(), entry);
const file = z.object({
  auths: auths.default({}),
  credHelpers: z.record(z.string(), z.string()).default({}),
  credsStore: z.string().optional(),
});

/**
 * @param warn - told of entries that are passed over, without what is in them.
 * @returns undefined if there is no such file.
 * @throws ImageError CONFIG_INVALID
 */
export async function readCredentials(
  { path, kind, isNamed }: CredentialFile,
  warn: (message: string) => void,
): Promise<Credentials | undefined> {
  const bytes = await readBounded(path, isNamed);
  if (!bytes) return undefined;
  const json = parseJsonStrict(bytes, { caseSensitive: true });
  if (!json.ok) throw configInvalid(path, `is not JSON: ${formatJsonPlace(json.fault)}`);
  const shape = kind === 'dockercfg' ? auths.transform((record) => file.parse({ auths: record })) : file;
  const { data, error } = shape.safeParse(json.value);
  if (!data) {
    const field = error.issues[0]?.path.map(String).join('.') ?? '';
    throw configInvalid(path, `${show(field) || 'the whole'} is not what credentials look like`);
  }
  const known: Record<string, RegistryCredential> = {};
  for (const [registry, value] of Object.entries(data.auths)) {
    const credential = credentialOf(value);
    if (credential) known[registry] = credential;
    else if (value.auth) warn(`"${show(path, 1000)}": what is kept for ${show(registry)} is not a user and a password`);
  }
  return {
    path,
    helpers: byRegistryKey(data.credHelpers),
    store: kind === 'docker' ? data.credsStore || undefined : undefined,
    auths: byRegistryKey(known),
  };
}

function credentialOf(value: z.infer<typeof entry>): RegistryCredential | undefined {
  if (value.identitytoken) return { kind: 'identity', token: value.identitytoken };
  if (value.registrytoken) return { kind: 'bearer', token: value.registrytoken };
  if (value.username && value.password) return { kind: 'basic', user: value.username, password: value.password };
  const pair = Buffer.from(value.auth ?? '', 'base64').toString('utf8');
  const [, user, password] = /^([^:]+):(.*?)\0*$/s.exec(pair) ?? [];
  return user === undefined || password === undefined ? undefined : { kind: 'basic', user, password };
}

async function readBounded(path: string, isNamed: boolean): Promise<Uint8Array | undefined> {
  try {
    await using handle = await open(path);
    const { size } = await handle.stat();
    if (size > maxBytes) throw configInvalid(path, `is larger than ${maxBytes} bytes`);
    return await handle.readFile();
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    if (!isNamed && isNoEntry(error)) return undefined;
    throw configInvalid(path, `cannot be read: ${code}`, error);
  }
}
