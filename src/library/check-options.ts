import { X509Certificate } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { hasCode, ImageError } from '../errors.ts';
import { parseConnectTo, parseRoutes } from '../http/connect.ts';
import { defaultLimits, defaultTimeouts, type Limits, type Timeouts } from '../image/limits.ts';
import { parsePlatformChoice } from '../image/platform.ts';
import { show } from '../image/show.ts';
import type { Insecure, ProxyOptions } from '../options.ts';
import type { HostCertificates } from '../registry/certificates.ts';
import type { Lookasides } from '../registry/lookaside.ts';
import type { CredentialLookup, Mirror, MirrorRule } from '../registry/types.ts';
import {
  absolutePath,
  boolean,
  callback,
  type Check,
  checkMembers,
  type Checks,
  duration,
  either,
  instance,
  integer,
  listOf,
  mapOf,
  members,
  oneOf,
  parsed,
  pick,
  positive,
  record,
  text,
  type WithoutUndefined,
} from './checks.ts';
import type {
  ActionOptions,
  KeystoreOptions,
  PolicyOptions,
  PoolOptions,
  PusherOptions,
  StoreOptions,
} from './types.ts';

export const limits = members<Partial<Limits>>({ ...sameFor(defaultLimits, integer(1)), retryAfter: duration });
const timeouts = members<Partial<Timeouts>>(sameFor(defaultTimeouts, duration));
/** Checked by whoever made it: it must be what one of our own functions returned. */
const unchecked: Check = () => undefined;

/** The same check for each member of an object. */
function sameFor<T extends object>(object: T, check: Check): Checks<T> {
  return Object.fromEntries(Object.keys(object).map((name) => [name, check])) as Checks<T>; // its names
}

const certificate = parsed((pem) => new X509Certificate(pem));
/** @throws USAGE */
const workerUrl: Check = (value, option) => {
  try {
    fileURLToPath(value as URL | string); // it refuses everything else
  } catch (cause) {
    throw new ImageError('USAGE', `${option}: want a file: URL`, { option }, { cause });
  }
};
const hostCertificates = members<HostCertificates>(
  {
    ca: listOf(certificate),
    pairs: listOf(members({ cert: certificate, key: text }, 'cert', 'key')),
    insecure: boolean,
    warnings: listOf(text),
    fault: instance(ImageError, 'an ImageError'),
  },
  'ca',
  'pairs',
);
const credentialMembers = { basic: ['user', 'password'], identity: ['token'], bearer: ['token'] } as const;
/** What it gives is checked when it comes: a member that is missing would be sent as "undefined". */
const credentialLookup: Check = (value, option) => {
  callback(value, option);
  const lookup = value as CredentialLookup; // checked above
  return async (...asked: Parameters<CredentialLookup>) => {
    const found = (await lookup(...asked)) ?? undefined;
    if (!found) return undefined;
    record(() => undefined)(found, option);
    oneOf(...Object.keys(credentialMembers))(found.kind, `${option}.kind`);
    for (const name of credentialMembers[found.kind]) text(Reflect.get(found, name), `${option}.${name}`);
    return found;
  };
};
const signaturePlace = members<{ kind: string; path: string; url: string }>(
  { kind: oneOf('file', 'url'), path: absolutePath, url: text },
  'kind',
);
const mirror = members<Mirror>(
  {
    origin: parsed(parseOrigin),
    prefix: text,
    resolves: boolean,
    only: oneOf('digests', 'tags'),
    insecure: boolean,
  },
  'origin',
  'resolves',
);
const mirrorRule = members<MirrorRule>(
  {
    prefix: text,
    blocked: boolean,
    insecure: boolean,
    location: text,
    mirrors: listOf(mirror),
    source: text,
    fault: text,
  },
  'prefix',
  'mirrors',
);

/** A number of transfers. */
const countOrAuto = either(oneOf('auto'), integer(1));

export const keep = oneOf('aci', 'oci', 'both');
export const platforms = listOf(parsed(parsePlatformChoice), 1);

/** The checks of createFinder and createFetcher, one for each option. */
const actionChecks: Checks<ActionOptions> = {
  store: unchecked,
  keystore: unchecked,
  policy: unchecked,
  pool: unchecked,
  headers: record(headerFields, parsed(parseHost)),
  dockerCredentials: record(members({ user: text, password: text }, 'user', 'password')),
  insecure: members<Insecure>({ image: boolean, tls: boolean, http: boolean, pubkey: boolean, weakKeys: boolean }),
  trustKeysFromHTTPS: boolean,
  storeOnly: boolean,
  noStore: boolean,
  noCache: boolean,
  keepArchives: boolean,
  withDeps: boolean,
  pullPolicy: oneOf('new', 'update', 'never'),
  resolveMaxAgeMs: integer(0),
  keep,
  platform: platforms,
  referrers: boolean,
  mirrors: listOf(mirrorRule),
  registryCredentials: credentialLookup,
  lookasides: members<Lookasides>({ scopes: mapOf(signaturePlace), others: signaturePlace, fallback: text }, 'scopes'),
  certificates: mapOf(hostCertificates),
  jobs: countOrAuto,
  jobsPerHost: countOrAuto,
  workers: integer(1),
  retries: integer(0),
  limits,
  timeouts,
  limitRate: positive,
  limitRates: record(positive, parsed(parseHost)),
  minRate: positive,
  failFast: boolean,
  discover: listOf(members({ prefix: text, origin: parsed(parseOrigin) }, 'prefix', 'origin')),
  ca: listOf(certificate),
  connectTo: listOf(parsed(parseConnectTo)),
  denyNet: listOf(parsed((block) => parseRoutes({ connectTo: [], denyNet: [block], proxy: {} }))),
  proxy: members<ProxyOptions>({ http: proxyUrl, https: proxyUrl, all: proxyUrl, noProxy: text }),
  onEvent: callback,
  transport: callback,
};

/** @throws USAGE */
function proxyUrl(value: unknown, option: string): void {
  text(value, option);
  try {
    parseRoutes({ connectTo: [], denyNet: [], proxy: { all: value as string } }); // checked above
  } catch (error) {
    if (!hasCode(error, 'USAGE')) throw error;
    throw new ImageError('USAGE', `${option}: ${error.message.replace(/^ALL_PROXY/, 'it')}`, { option });
  }
}

function parseHost(host: string): void {
  if (
    URL.parse(`http://${host}`)?.host === host.toLowerCase() ||
    URL.parse(`https://${host}`)?.host === host.toLowerCase()
  )
    return;
  throw new Error(`want host[:port], not "${show(host.replace(/^.*@/s, ''))}"`); // without a password
}

function headerFields(value: unknown, option: string): void {
  record(text)(value, option);
  // as an import it would make Node load its own fetch, which takes longer than all the rest
  const { validateHeaderName, validateHeaderValue } = process.getBuiltinModule('node:http');
  for (const [name, field] of Object.entries(value as Record<string, string>)) {
    // checked above
    parsed((header) => {
      validateHeaderName(name);
      validateHeaderValue(name, header);
    })(field, `${option}.${name}`);
  }
}

function parseOrigin(value: string): void {
  const url = URL.parse(value);
  if (url && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return;
  throw new Error('want an http or https URL without a path');
}

/** Options that only the built-in client can follow. */
const ofBuiltInClient = ['ca', 'certificates', 'connectTo', 'denyNet', 'proxy'] as const;

/** @throws USAGE with the name of the option */
export function checkActionOptions(options: ActionOptions, what: string): ActionOptions {
  const checked = checkMembers(options, actionChecks, what);
  if (checked.storeOnly && checked.noStore) {
    throw new ImageError('USAGE', 'storeOnly and noStore contradict each other', { option: 'storeOnly' });
  }
  if (checked.keystore === undefined && checked.insecure?.image !== true) {
    const message = 'keystore: it is missing; to verify nothing, say insecure: { image: true }';
    throw new ImageError('USAGE', message, { option: 'keystore' });
  }
  if (checked.policy !== undefined && checked.insecure?.image === true) {
    const message = 'policy: it says which images are accepted, and insecure.image that all are';
    throw new ImageError('USAGE', message, { option: 'policy' });
  }
  requireNoneBeside(checked);
  return checked;
}

/** @throws USAGE for options of the built-in client beside an own transport */
function requireNoneBeside(checked: Pick<ActionOptions, 'transport' | (typeof ofBuiltInClient)[number]>): void {
  const unused = checked.transport && ofBuiltInClient.find((name) => checked[name] !== undefined);
  if (unused) throw new ImageError('USAGE', `${unused}: an own transport decides this itself`, { option: unused });
}

const pusherChecks: Checks<PusherOptions> = {
  ...pick(actionChecks, [
    'store',
    'pool',
    'headers',
    'dockerCredentials',
    'registryCredentials',
    'insecure',
    'mirrors',
  ]),
  ...pick(actionChecks, ['certificates', 'ca', 'connectTo', 'denyNet', 'proxy', 'transport', 'retries', 'timeouts']),
  ...pick(actionChecks, ['limits', 'limitRate', 'limitRates', 'minRate', 'jobs', 'jobsPerHost', 'workers']),
  ...pick(actionChecks, ['failFast', 'onEvent']),
};

/** @throws USAGE with the name of the option */
export function checkPusherOptions(options: PusherOptions): PusherOptions {
  const checked = checkMembers(options, pusherChecks, 'createPusher');
  requireNoneBeside(checked);
  return checked;
}

export function checkPoolOptions(options: PoolOptions): WithoutUndefined<PoolOptions> {
  return checkMembers(
    options,
    { jobs: countOrAuto, workers: integer(1), workerUrl },
    'openPool',
  ) as WithoutUndefined<PoolOptions>; // as checked
}

export function checkStoreOptions(options: StoreOptions): StoreOptions & { readonly readOnly: boolean } {
  const {
    dir,
    readOnly = false,
    workerUrl: url,
  } = checkMembers<StoreOptions>(options, { dir: absolutePath, readOnly: boolean, workerUrl }, 'openStore');
  return { dir: required(dir, 'dir'), readOnly, workerUrl: url };
}

export function checkKeystoreOptions(options: KeystoreOptions): KeystoreOptions {
  const checked = checkMembers<KeystoreOptions>(
    options,
    { dirs: listOf(absolutePath, 1), trustedRoot: absolutePath, onWarning: callback, workerUrl },
    'openKeystore',
  );
  return { ...checked, dirs: required(checked.dirs, 'dirs') };
}

export function checkPolicyOptions(options: PolicyOptions): PolicyOptions {
  const { file } = checkMembers<PolicyOptions>(options, { file: absolutePath }, 'openPolicy');
  return { file: required(file, 'file') };
}

export function required<T>(value: T | undefined, option: string): T {
  if (value !== undefined) return value;
  throw new ImageError('USAGE', `${option}: it is missing`, { option });
}
