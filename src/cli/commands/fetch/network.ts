import { X509Certificate } from 'node:crypto';
import { join, resolve } from 'node:path';

import {
  type ActionOptions,
  createFinder,
  type EventSink,
  type Finder,
  type Keystore,
  openFetchPool,
  openKeystore,
  type Policy,
  type Pool,
  show,
  type Store,
} from '../../../internal.ts';
import { whyFailed } from '../../../system/errno.ts';
import { isThere, readNamed } from '../../../system/files.ts';
import { boundHeaps } from '../../compile-cache.ts';
import { defaultDataDirectory } from '../../config/data-directory.ts';
import type { ConfigDirectories } from '../../config/directories.ts';
import type { Config } from '../../config/read-config.ts';
import { type Access, openCliStore } from '../../open-store.ts';
import type { Environment } from '../../options/environment.ts';
import { usageError } from '../../options/option.ts';
import type { DiscoverRule } from '../../options/values.ts';
import { registryCredentials, type RegistrySettings } from '../../registries/registry-settings.ts';
import type { FetchOptions } from './options.ts';
import type { Requests } from './requests.ts';

/** The settings of a run, from options, configuration and environment. */
export type Settings = {
  readonly options: FetchOptions;
  /** Absent in commands that verify nothing. */
  readonly policy?: Policy | undefined;
  readonly config: Config;
  readonly directories: ConfigDirectories;
  readonly environment: Environment;
  /** The value of `--dir`. */
  readonly dir: string | undefined;
  /** PEM texts. */
  readonly ca: readonly string[] | undefined;
  /** Absent when no registry image is requested. */
  readonly registries: RegistrySettings | undefined;
};

/** So many images are written to the index without a thread for it. */
const few = 8;
/** Of more images than these, threads have large heaps by the time that a short run would have ended. */
const many = 64;

type FinderRequest = Settings & { readonly access: Access; readonly apps: Requests['apps'] };

export type Opened = { readonly finder: Finder; readonly store: Store };

/** Opens store, keystore and finder; `resources` closes them in reverse order. @throws ImageError */
export async function openFinder(
  resources: AsyncDisposableStack,
  request: FinderRequest,
  onEvent: EventSink,
): Promise<Opened> {
  const { apps } = request;
  if (apps.length > many) boundHeaps(['grow']);
  const { store, ...finders } = await openFinders(resources, { ...request, writesLittle: apps.length <= few }, onEvent);
  return { finder: resources.use(finders.create({})), store };
}

type FindersRequest = Omit<FinderRequest, 'apps'> & {
  /** If they are known. */
  readonly apps?: Requests['apps'];
  readonly writesLittle: boolean;
};

type Finders = {
  readonly store: Store;
  readonly pool: Pool;
  /** Absent where no signature is verified. */
  readonly keystore: Keystore | undefined;
  /** @param choices - in the place of those of the request. The caller closes it. */
  create(choices: Partial<ActionOptions>): Finder;
};

/** Opens what finders of one process share; `resources` closes it. @throws ImageError */
export async function openFinders(
  resources: AsyncDisposableStack,
  request: FindersRequest,
  onEvent: EventSink,
): Promise<Finders> {
  const { options, policy, config, directories, environment, access, apps = [], writesLittle } = request;
  const place = { dir: storeDirectory(request) };
  const pool = resources.use(openFetchPool({ ...options, apps }));
  // An empty store will need threads: they start while it is made.
  if (access === 'fill' && !(await isThere(join(place.dir, 'index.sqlite')))) pool.warmUp();
  const store = resources.use(await openCliStore(place, environment, access, writesLittle));
  resources.defer(() => pool.close()); // before the store, so that no thread writes to it any more
  const { system, local, user, trustedRoot } = directories;
  const onWarning = (message: string): void => void onEvent({ type: 'warning', message });
  const keystore = options.insecure.image
    ? undefined
    : resources.use(await openKeystore({ dirs: [system, local, user], trustedRoot, onWarning }));
  const settings: ActionOptions = {
    ...options,
    pool,
    ...networkSettings(request),
    store,
    ...(keystore && { keystore }),
    ...(policy && { policy }),
    dockerCredentials: config.dockerCredentials,
    ...request.registries,
    registryCredentials: registryCredentials(environment, onWarning),
    onEvent,
  };
  return { store, pool, keystore, create: (choices) => createFinder({ ...settings, ...choices }) };
}

/** @returns an absolute path. */
export function storeDirectory({ dir, config, environment }: Pick<Settings, 'dir' | 'config' | 'environment'>): string {
  return resolve(dir ?? config.dataDirectory ?? defaultDataDirectory(environment));
}

type NetworkRequest = {
  readonly options: { readonly discover: readonly DiscoverRule[] };
  readonly config: Pick<Config, 'headers' | 'discover'>;
  readonly environment: Environment;
  /** PEM texts. */
  readonly ca: readonly string[] | undefined;
};

/** The network settings of command line, configuration and environment. */
export function networkSettings({ options, config, environment, ca }: NetworkRequest) {
  return {
    headers: config.headers,
    discover: mergeDiscover(config.discover, options.discover),
    proxy: proxyOf(environment),
    ...(ca && { ca }),
  } satisfies Partial<ActionOptions>;
}

/** The proxies of the environment; a lower-case name takes precedence. */
export function proxyOf(environment: Environment): NonNullable<ActionOptions['proxy']> {
  const read = (name: string): string | undefined => environment[name] || environment[name.toUpperCase()] || undefined;
  const [http, https] = [read('http_proxy'), read('https_proxy')];
  const [all, noProxy] = [read('all_proxy'), read('no_proxy')];
  return { ...(http && { http }), ...(https && { https }), ...(all && { all }), ...(noProxy && { noProxy }) };
}

/** Rules of the command line replace those of the configuration with the same prefix. */
function mergeDiscover(configured: readonly DiscoverRule[], given: readonly DiscoverRule[]): readonly DiscoverRule[] {
  return [...new Map([...configured, ...given].map((rule) => [rule.prefix, rule])).values()];
}

/** Far more than a system's certificates need. */
const maxBytes = 16 * 1024 * 1024;
const block = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** The certificates of a PEM file, one text for each. @throws USAGE when there are none */
export async function readCaFile(path: string, option: string): Promise<readonly string[]> {
  try {
    const text = await readNamed(path, maxBytes);
    if (text.length > maxBytes) throw new Error(`is larger than ${maxBytes} bytes`);
    const certificates = text.toString('latin1').match(block) ?? [];
    if (certificates.length === 0) throw new Error('holds no PEM certificate');
    for (const certificate of certificates) void new X509Certificate(certificate);
    return certificates;
  } catch (error) {
    throw usageError(`cannot use "${show(path)}": ${show(whyFailed(error))}`, option);
  }
}
