import type { ActionOptions } from '../../index.ts';
import type { Config } from '../config/read-config.ts';
import type { Environment } from '../options/environment.ts';
import { mergeDiscover } from './discover-rules.ts';
import { proxyOf } from './proxy.ts';

export type NetworkRequest = {
  readonly options: Required<Pick<ActionOptions, 'discover'>>;
  readonly config: Pick<Config, 'headers' | 'discover'>;
  readonly environment: Environment;
  /** PEM texts. */
  readonly ca: readonly string[] | undefined;
};

/** What command line, configuration and environment together say of the network. */
export function networkSettings({ options, config, environment, ca }: NetworkRequest) {
  return {
    headers: config.headers,
    discover: mergeDiscover(config.discover, options.discover),
    proxy: proxyOf(environment),
    ...(ca && { ca }),
  } satisfies Partial<ActionOptions>;
}
