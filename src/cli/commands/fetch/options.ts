import { type ActionOptions, parsePlatformChoice, type PullPolicy } from '../../../internal.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { isOn, namedValuesOf, textOf, valueOf, valuesOf } from '../../options/read.ts';
import type { OptionName } from '../../options/table.ts';
import {
  parseAge,
  parseCidr,
  parseConnectTo,
  parseCount,
  parseCountOrAuto,
  parseDiscover,
  parseInsecureOptions,
  parseLimits,
  parseMirrors,
  parseRate,
  parseRates,
  parseTimeouts,
} from '../../options/values.ts';

export type FetchOptions = ReturnType<typeof fetchOptions>;

/** The fetch options of the command line; options that are not given are absent. @throws USAGE */
export function fetchOptions(line: CommandLine) {
  return {
    ...present({
      jobs: valueOf(line, 'jobs', parseCountOrAuto),
      jobsPerHost: valueOf(line, 'jobs-per-host', parseCountOrAuto),
      resolveMaxAgeMs: valueOf(line, 'resolve-max-age', parseAge),
      workers: valueOf(line, 'workers', parseCount),
      minRate: valueOf(line, 'min-rate', parseRate),
    }),
    ...namedValuesOf(line, 'limit-rate', parseRates),
    ...networkOptions(line),
    ...registryOptions(line),
    trustKeysFromHTTPS: isOn(line, 'trust-keys-from-https'),
    withDeps: !isOn(line, 'no-deps'),
    keepArchives: isOn(line, 'keep-archives'),
    failFast: isOn(line, 'fail-fast'),
    pullPolicy: pullPolicy(line),
  } satisfies Partial<ActionOptions>;
}

type Present<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };

function present<T extends Record<string, unknown>>(values: T): Present<T> {
  // fromEntries loses the types of the keys; those that remain are unchanged.
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Present<T>;
}

type Ask = { readonly policy: PullPolicy; readonly option: string };

/**
 * Combines `--pull-policy`, `--store-only` and `--no-store`. If the command line has any of them, the environment is
 * ignored.
 *
 * @throws USAGE when they contradict each other
 */
export function pullPolicy(line: CommandLine): PullPolicy {
  const asks = [...fromFlag(line, 'store-only', 'never'), ...fromFlag(line, 'no-store', 'update'), ...fromPolicy(line)];
  const flags = asks.filter(({ option }) => option.startsWith('--'));
  const [first, ...others] = flags.length > 0 ? flags : asks;
  const other = others.find(({ policy }) => policy !== first?.policy);
  if (first && other) throw usageError(`both ${first.option} and ${other.option} specified`);
  return first?.policy ?? 'new';
}

function fromFlag(line: CommandLine, name: OptionName, policy: PullPolicy): readonly Ask[] {
  return isOn(line, name) ? line.values(name).map(({ option }) => ({ policy, option })) : [];
}

function fromPolicy(line: CommandLine): readonly Ask[] {
  const value = line.values('pull-policy').at(-1);
  const policy = (['new', 'update', 'never'] as const).find((word) => word === value?.text);
  return value && policy ? [{ policy, option: value.option }] : [];
}

/** What `--lock` and the options beside it ask for. */
export type LockRequest = {
  readonly path: string;
  readonly frozen: boolean;
  readonly relock: boolean;
  readonly partial: boolean;
};

/** @returns undefined without `--lock`. @throws USAGE */
export function lockOptionsOf(line: CommandLine): LockRequest | undefined {
  const path = textOf(line, 'lock');
  const [frozen, relock, partial] = [isOn(line, 'frozen'), isOn(line, 'relock'), isOn(line, 'lock-partial')];
  const given = [
    ...(frozen ? ['--frozen'] : []),
    ...(relock ? ['--relock'] : []),
    ...(partial ? ['--lock-partial'] : []),
  ];
  if (path === undefined && given.length > 0) throw usageError('it needs --lock FILE', given[0]);
  if (frozen && given.length > 1) throw usageError('--frozen leaves the lock file as it is', given[1]);
  return path === undefined ? undefined : { path, frozen, relock, partial };
}

/** The options for registry images. They are kept as they came, unless archives are asked for. @throws USAGE */
function registryOptions(line: CommandLine) {
  return {
    keep: (['aci', 'both'] as const).find((word) => word === textOf(line, 'keep')) ?? 'oci',
    platform: valuesOf(line, 'platform', parsePlatforms).flat(),
    referrers: isOn(line, 'referrers'),
    mirrors: namedValuesOf(line, 'mirror', parseMirrors),
  } satisfies Partial<ActionOptions>;
}

function parsePlatforms(text: string, option: string): readonly string[] {
  const platforms = text.split(',');
  for (const platform of platforms) parsePlatformChoice(platform, option);
  return platforms;
}

/** The network options of the command line. @throws USAGE */
export function networkOptions(line: CommandLine) {
  const retries = valueOf(line, 'retries', (text, option) => parseCount(text, option, 0));
  return {
    ...(retries !== undefined && { retries }),
    insecure: valueOf(line, 'insecure-options', parseInsecureOptions) ?? {},
    limits: namedValuesOf(line, 'limit', parseLimits),
    timeouts: namedValuesOf(line, 'timeout', parseTimeouts),
    discover: namedValuesOf(line, 'discover', parseDiscover),
    connectTo: valuesOf(line, 'connect-to', parseConnectTo),
    denyNet: valuesOf(line, 'deny-net', parseCidr),
  } satisfies Partial<ActionOptions>;
}
