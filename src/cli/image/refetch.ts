import { createFetcher, isImageError, openKeystore, type Entry, type Fetcher, type Store } from '../../index.ts';
import { proxyOf } from '../commands/proxy.ts';
import { configDirectories } from '../config/directories.ts';
import { readConfig } from '../config/read-config.ts';
import type { CommandLine } from '../options/command-line.ts';
import type { Environment } from '../options/environment.ts';
import { textOf } from '../options/read.ts';

export type Refetch = AsyncDisposable & ((entry: Entry) => Promise<boolean>);

/**
 * Brings damaged images again from where they came from: what had been verified is verified again, what had not is not.
 * Nothing is opened before there is something to bring.
 */
export function openRefetch(store: Store, line: CommandLine, environment: Environment): Refetch {
  const resources = new AsyncDisposableStack();
  const fetchers = new Map<boolean, Promise<Fetcher>>();

  const open = async (isVerified: boolean): Promise<Fetcher> => {
    const directories = configDirectories(
      {
        systemConfig: textOf(line, 'system-config'),
        localConfig: textOf(line, 'local-config'),
        userConfig: textOf(line, 'user-config'),
      },
      environment,
    );
    const { headers, dockerCredentials, discover } = await readConfig(directories);
    const { system, local, user } = directories;
    const keystore = isVerified ? resources.use(await openKeystore({ dirs: [system, local, user] })) : undefined;
    const shared = {
      store,
      headers,
      dockerCredentials,
      discover,
      proxy: proxyOf(environment),
      pullPolicy: 'update' as const,
    };
    return resources.use(createFetcher({ ...shared, withDeps: false, retries: 1, ...(keystore && { keystore }) }));
  };

  const refetch = async (entry: Entry): Promise<boolean> => {
    const isVerified = entry.verified !== false;
    const opening = fetchers.get(isVerified) ?? open(isVerified);
    fetchers.set(isVerified, opening);
    try {
      const fetcher = await opening;
      if (entry.kind === 'image') return (await fetcher.fetchImage(entry.source)) === entry.id;
      await fetcher.fetchImage(`docker://${entry.image.reference}`);
      return true; // what the reference names now is seen in the store
    } catch (error) {
      if (!isImageError(error)) throw error;
      return false; // the image stays off the list, which is reported
    }
  };
  return Object.assign(refetch, { [Symbol.asyncDispose]: () => resources.disposeAsync() });
}
