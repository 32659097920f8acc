import { join } from 'node:path';

import { configInvalid, isNoRegularFile, listConfigDirectory, readConfigFile, show } from '../../internal.ts';
import { debugLog } from '../../system/debug.ts';
import { errnoOf } from '../../system/errno.ts';
import { type DiscoverRule, discoverRule } from '../options/values.ts';
import type { ConfigDirectories } from './directories.ts';
import type { Auth } from './kinds.ts';
import type { ConfigDocument, ConfigItem } from './parse-document.ts';

const debug = debugLog('cli');

export type Config = {
  /** Request headers by exact `host[:port]`. */
  readonly headers: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly dockerCredentials: Readonly<Record<string, { readonly user: string; readonly password: string }>>;
  /** An absolute path. */
  readonly dataDirectory: string | undefined;
  readonly discover: readonly DiscoverRule[];
  /** The absolute path of the policy for images of registries, and that of the file which says so. */
  readonly policy: ConfiguredPolicy | undefined;
};

type ConfiguredPolicy = { readonly file: string; readonly by: string };

/** The items of one layer: a later layer replaces single items, not files. */
type Layer = {
  readonly headers: Map<string, Readonly<Record<string, string>>>;
  readonly dockerCredentials: Map<string, { readonly user: string; readonly password: string }>;
  readonly paths: Map<'data', string>;
  readonly discover: Map<string, DiscoverRule>;
  readonly policy: Map<'file', ConfiguredPolicy>;
};

const folders = ['auth.d', 'paths.d', 'discovery.d', 'policy.d'];

/**
 * Reads the configuration of all layers. One bad file makes all of it fail.
 *
 * @throws CONFIG_INVALID with the path of the file
 */
export async function readConfig({ system, local, user }: ConfigDirectories): Promise<Config> {
  const layers = await Promise.all([system, local, user].map(readLayer));
  const merged = <V>(pick: (layer: Layer) => Map<string, V>) => new Map(layers.flatMap((layer) => [...pick(layer)]));
  return {
    headers: Object.fromEntries(merged((layer) => layer.headers)),
    dockerCredentials: Object.fromEntries(merged((layer) => layer.dockerCredentials)),
    dataDirectory: merged((layer) => layer.paths).get('data'),
    discover: [...merged((layer) => layer.discover).values()],
    policy: merged((layer) => layer.policy).get('file'),
  };
}

async function readLayer(directory: string): Promise<Layer> {
  const layer: Layer = {
    headers: new Map(),
    dockerCredentials: new Map(),
    paths: new Map(),
    discover: new Map(),
    policy: new Map(),
  };
  for (const folder of folders) {
    const documents = await readDocuments(join(directory, folder));
    if (documents.length === 0) continue;
    // loads zod, which is slow, and most layers have no files
    const { parseDocument } = await import('./parse-document.ts');
    for (const document of documents) add(layer, parseDocument(document, folder));
  }
  return layer;
}

/**
 * The `.json` files directly in `directory`; symlinks are followed. Empty when it does not exist. @throws
 * CONFIG_INVALID
 */
async function readDocuments(directory: string): Promise<readonly ConfigDocument[]> {
  const entries = await listConfigDirectory(directory, (error) => errnoOf(error) === 'ENOENT');
  const documents: ConfigDocument[] = [];
  for (const { path } of entries ?? []) {
    const bytes = path.endsWith('.json') ? await readRegular(path) : undefined;
    if (bytes) debug(() => `reads ${show(path, 4096)}`);
    if (bytes) documents.push({ path, bytes });
  }
  return documents;
}

async function readRegular(path: string): Promise<Uint8Array | undefined> {
  return readConfigFile(path).catch((error: unknown) => {
    if (isNoRegularFile(error)) return undefined;
    throw error;
  });
}

function add(layer: Layer, { kind, path, value }: ConfigItem): void {
  switch (kind) {
    case 'auth':
      for (const domain of value.domains) {
        put(
          layer.headers,
          domain.toLowerCase(),
          { Authorization: authorization(value) },
          path,
          `auth for domain "${domain}" is`,
        );
      }
      return;
    case 'dockerAuth':
      for (const registry of value.registries) {
        put(
          layer.dockerCredentials,
          registry,
          value.credentials,
          path,
          `credentials for docker registry "${registry}" are`,
        );
      }
      return;
    case 'paths':
      if (value.data !== undefined) put(layer.paths, 'data', value.data, path, 'data directory is');
      return;
    case 'policy':
      put(layer.policy, 'file', { file: value.file, by: path }, path, 'policy is');
      return;
    case 'discovery': {
      const rule = discoverRule(value.prefix, value.origin, (problem) => configInvalid(path, problem));
      put(layer.discover, rule.prefix, rule, path, `discovery for prefix "${rule.prefix}" is`);
    }
  }
}

function put<K extends string, V>(items: Map<K, V>, key: K, value: V, path: string, what: string): void {
  if (items.has(key)) throw configInvalid(path, `${show(what)} already specified`);
  items.set(key, value);
}

/** The value of the Authorization header. @see RFC 7617 (Basic), RFC 6750 (Bearer) */
function authorization(auth: Auth): string {
  switch (auth.type) {
    case 'basic': {
      const { user, password } = auth.credentials;
      return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    }
    case 'oauth':
      return `Bearer ${auth.credentials.token}`;
  }
}
