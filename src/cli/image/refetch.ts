import { createFetcher, isImageError, openKeystore, type Entry, type Fetcher, type Store } from '../../index.ts';
import { proxyOf } from '../commands/proxy.ts';
import { readConfig } from '../config/read-config.ts';
import type { CommandLine } from '../options/command-line.ts';
import { directoriesOf } from '../options/directories.ts';
import type { Environment } from '../options/environment.ts';
import { parseInsecureOptions } from '../options/insecure-options.ts';
import { valueOf } from '../options/read.ts';
import { registryCredentials, registrySettings } from '../registries/registry-settings.ts';
import { refetchOptions, refetchSource, type RefetchOptions } from './refetch-options.ts';

export type Refetch = AsyncDisposable & ((entry: Entry) => Promise<boolean>);

/** Brings damaged images again from where they came from. Nothing is opened before there is something to bring. */
export function openRefetch(
  store: Store,
  line: CommandLine,
  environment: Environment,
  onWarning: (message: string) => void,
): Refetch {
  const resources = new AsyncDisposableStack();
  const fetchers = new Map<string, Promise<Fetcher>>();
  const { http = false, tls = false, weakKeys = false } = valueOf(line, 'insecure-options', parseInsecureOptions) ?? {};

  const open = async ({ isVerified, registry }: RefetchOptions): Promise<Fetcher> => {
    const directories = directoriesOf(line, environment);
    const { headers, dockerCredentials, discover } = await readConfig(directories);
    const { system, local, user } = directories;
    const keystore = isVerified ? resources.use(await openKeystore({ dirs: [system, local, user] })) : undefined;
    const settings = registry && {
      ...registry,
      ...(await registrySettings([], environment, onWarning)),
      registryCredentials: registryCredentials(environment, onWarning),
    };
    const fetcher = createFetcher({
      store,
      headers,
      dockerCredentials,
      discover,
      insecure: { http, tls, weakKeys },
      proxy: proxyOf(environment),
      pullPolicy: 'update',
      withDeps: false,
      retries: 1,
      ...(keystore && { keystore }),
      ...settings,
    });
    return resources.use(fetcher);
  };

  const refetch = async (entry: Entry): Promise<boolean> => {
    try {
      const options = await refetchOptions(store, entry);
      const key = JSON.stringify(options);
      const opening = fetchers.get(key) ?? open(options);
      fetchers.set(key, opening);
      const id = await (await opening).fetchImage(refetchSource(entry));
      return entry.kind === 'registry' || id === entry.id; // what a reference names now is seen in the store
    } catch (error) {
      if (!isImageError(error)) throw error;
      return false; // the image stays off the list, which is reported
    }
  };
  return Object.assign(refetch, { [Symbol.asyncDispose]: () => resources.disposeAsync() });
}
