import type { ActionOptions } from '../../index.ts';
import type { CommandLine } from '../options/command-line.ts';
import { parseCount } from '../options/count.ts';
import { isOn, valueOf } from '../options/read.ts';
import { parseRate } from '../options/size.ts';
import { networkOptions } from './network-options.ts';
import { pullPolicy } from './pull-policy.ts';
import { registryOptions } from './registry-options.ts';

export type FetchOptions = ReturnType<typeof fetchOptions>;

/** What the command line says of how to fetch; what it leaves open is absent. @throws USAGE */
export function fetchOptions(line: CommandLine) {
  return {
    ...present({
      jobs: valueOf(line, 'jobs', parseCount),
      jobsPerHost: valueOf(line, 'jobs-per-host', parseCount),
      workers: valueOf(line, 'workers', parseCount),
      limitRate: valueOf(line, 'limit-rate', parseRate),
      minRate: valueOf(line, 'min-rate', parseRate),
    }),
    ...networkOptions(line),
    ...registryOptions(line),
    trustKeysFromHTTPS: isOn(line, 'trust-keys-from-https'),
    withDeps: !isOn(line, 'no-deps'),
    failFast: isOn(line, 'fail-fast'),
    pullPolicy: pullPolicy(line),
  } satisfies Partial<ActionOptions>;
}

type Present<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };

function present<T extends Record<string, unknown>>(values: T): Present<T> {
  // fromEntries forgets which keys there were; what is left has them still.
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Present<T>;
}
