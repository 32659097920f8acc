import { createFinder, openKeystore, type EventSink, type Finder } from '../../index.ts';
import type { Config } from '../config/read-config.ts';
import { defaultDataDirectory } from '../config/data-directory.ts';
import type { ConfigDirectories } from '../config/directories.ts';
import { openCliStore } from '../open-store.ts';
import type { Environment } from '../options/environment.ts';
import { mergeDiscover } from './discover-rules.ts';
import type { FetchOptions } from './fetch-options.ts';
import { proxyOf } from './proxy.ts';

export type FinderRequest = {
  readonly options: FetchOptions;
  readonly config: Config;
  readonly directories: ConfigDirectories;
  readonly environment: Environment;
  /** The value of `--dir`. */
  readonly dir: string | undefined;
  /** PEM texts. */
  readonly ca: readonly string[] | undefined;
  /** True when something may be written into the store. */
  readonly fills: boolean;
};

/** Opens store, keystore and finder; `resources` closes them, in the other order. @throws ImageError */
export async function openFinder(
  resources: AsyncDisposableStack,
  { options, config, directories, environment, dir, ca, fills }: FinderRequest,
  onEvent: EventSink,
): Promise<Finder> {
  const place = { dir: dir ?? config.dataDirectory ?? defaultDataDirectory(environment) };
  const store = resources.use(await openCliStore(place, environment, fills ? 'fill' : 'use'));
  const { system, local, user } = directories;
  const onWarning = (message: string): void => onEvent({ type: 'warning', message });
  const keystore = options.insecure.image
    ? undefined
    : resources.use(await openKeystore({ dirs: [system, local, user], onWarning }));
  return resources.use(
    createFinder({
      ...options,
      store,
      ...(keystore && { keystore }),
      headers: config.headers,
      dockerCredentials: config.dockerCredentials,
      discover: mergeDiscover(config.discover, options.discover),
      proxy: proxyOf(environment),
      ...(ca && { ca }),
      onEvent,
    }),
  );
}
