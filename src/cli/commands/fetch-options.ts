import type { ActionOptions, Insecure } from '../../index.ts';
import { parseCidr } from '../options/cidr.ts';
import type { CommandLine } from '../options/command-line.ts';
import { parseConnectTo } from '../options/connect-to.ts';
import { parseCount } from '../options/count.ts';
import { parseDiscover } from '../options/discover.ts';
import { parseInsecureOptions } from '../options/insecure-options.ts';
import { parseLimits, parseTimeouts } from '../options/limits.ts';
import { isOn, namedValuesOf, valueOf, valuesOf } from '../options/read.ts';
import { parseRate } from '../options/size.ts';
import { pullPolicy } from './pull-policy.ts';

export type FetchOptions = ReturnType<typeof fetchOptions>;

/** What the command line says of how to fetch; what it leaves open is absent. @throws USAGE */
export function fetchOptions(line: CommandLine) {
  return {
    ...present({
      jobs: valueOf(line, 'jobs', parseCount),
      jobsPerHost: valueOf(line, 'jobs-per-host', parseCount),
      workers: valueOf(line, 'workers', parseCount),
      retries: valueOf(line, 'retries', (text, option) => parseCount(text, option, 0)),
      limitRate: valueOf(line, 'limit-rate', parseRate),
      minRate: valueOf(line, 'min-rate', parseRate),
    }),
    insecure: insecureOf(line),
    trustKeysFromHTTPS: isOn(line, 'trust-keys-from-https'),
    withDeps: !isOn(line, 'no-deps'),
    failFast: isOn(line, 'fail-fast'),
    pullPolicy: pullPolicy(line),
    limits: namedValuesOf(line, 'limit', parseLimits),
    timeouts: namedValuesOf(line, 'timeout', parseTimeouts),
    discover: namedValuesOf(line, 'discover', parseDiscover),
    connectTo: valuesOf(line, 'connect-to', parseConnectTo),
    denyNet: valuesOf(line, 'deny-net', parseCidr),
  } satisfies Partial<ActionOptions>;
}

function insecureOf(line: CommandLine): Insecure {
  return valueOf(line, 'insecure-options', parseInsecureOptions) ?? {};
}

type Present<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };

function present<T extends Record<string, unknown>>(values: T): Present<T> {
  // fromEntries forgets which keys there were; what is left has them still.
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Present<T>;
}
