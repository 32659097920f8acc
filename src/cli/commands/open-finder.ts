import { join, resolve } from 'node:path';

import { createFinder, openFetchPool, openKeystore, type EventSink, type Finder } from '../../index.ts';
import { defaultDataDirectory } from '../config/data-directory.ts';
import { isThere, openCliStore, type Access } from '../open-store.ts';
import { registryCredentials } from '../registries/registry-settings.ts';
import { networkSettings } from './network-settings.ts';
import type { Prepared } from './prepare.ts';

export type FinderRequest = Omit<Prepared, 'apps' | 'hasFiles'> & { readonly access: Access };

/** Opens store, keystore and finder; `resources` closes them, in the other order. @throws ImageError */
export async function openFinder(
  resources: AsyncDisposableStack,
  request: FinderRequest,
  onEvent: EventSink,
): Promise<Finder> {
  const { options, config, directories, environment, access } = request;
  const place = { dir: storeDirectory(request) };
  const pool = resources.use(openFetchPool(options));
  // Into an empty store something will have to come: a thread gets ready for it while the store is made.
  if (access === 'fill' && !(await isThere(join(place.dir, 'index.sqlite')))) pool.warmUp(!options.insecure.image);
  const store = resources.use(await openCliStore(place, environment, access));
  resources.defer(() => pool.close()); // before the store: nobody writes there any more
  const { system, local, user } = directories;
  const onWarning = (message: string): void => onEvent({ type: 'warning', message });
  const keystore = options.insecure.image
    ? undefined
    : resources.use(await openKeystore({ dirs: [system, local, user], onWarning }));
  return resources.use(
    createFinder({
      ...options,
      pool,
      ...networkSettings(request),
      store,
      ...(keystore && { keystore }),
      dockerCredentials: config.dockerCredentials,
      ...request.registries,
      registryCredentials: registryCredentials(environment, onWarning),
      onEvent,
    }),
  );
}

/** @returns an absolute path. */
export function storeDirectory({ dir, config, environment }: Pick<Prepared, 'dir' | 'config' | 'environment'>): string {
  return resolve(dir ?? config.dataDirectory ?? defaultDataDirectory(environment));
}
