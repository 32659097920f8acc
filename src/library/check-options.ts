import { X509Certificate } from 'node:crypto';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { ImageError } from '../errors.ts';
import type { ImageLock } from '../fetchers/context.ts';
import { parseConnectTo, parseRoutes } from '../http/connect.ts';
import type { App, Mount, SharedByApps, Volume } from '../image/apps.ts';
import { defaultLimits, defaultTimeouts, type Limits, type Timeouts } from '../image/limits.ts';
import { parsePlatformChoice } from '../image/platform.ts';
import { show } from '../image/show.ts';
import type { BatchCall, FetchCall, Insecure, PlanCall, ProxyOptions } from '../options.ts';
import type { PushCall } from '../pusher.ts';
import type { HostCertificates } from '../registry/certificates.ts';
import type { Lookasides } from '../registry/lookaside.ts';
import type { Mirror, MirrorRule } from '../registry/types.ts';
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
} from './checks.ts';
import type {
  ActionOptions,
  CollectOptions,
  ExportOptions,
  ExtractOptions,
  KeystoreOptions,
  PoolOptions,
  PusherOptions,
  StoreOptions,
  TrustOptions,
} from './types.ts';

const signal = instance(AbortSignal, 'an AbortSignal');
const limits = members<Partial<Limits>>({ ...sameFor(defaultLimits, integer(1)), retryAfter: duration });
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
    fault: unchecked,
  },
  'ca',
  'pairs',
);
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

/** The checks of createFinder and createFetcher, one for each option. */
const actionChecks: Checks<ActionOptions> = {
  store: unchecked,
  keystore: unchecked,
  pool: unchecked,
  headers: record(headerFields, parsed(parseHost)),
  dockerCredentials: record(members({ user: text, password: text }, 'user', 'password')),
  insecure: members<Insecure>({ image: boolean, tls: boolean, http: boolean, pubkey: boolean, weakKeys: boolean }),
  trustKeysFromHTTPS: boolean,
  storeOnly: boolean,
  noStore: boolean,
  noCache: boolean,
  withDeps: boolean,
  pullPolicy: oneOf('new', 'update', 'never'),
  resolveMaxAgeMs: integer(0),
  keep: oneOf('aci', 'oci', 'both'),
  platform: listOf(parsed(parsePlatformChoice), 1),
  referrers: boolean,
  mirrors: listOf(mirrorRule),
  registryCredentials: callback,
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

function proxyUrl(value: unknown, option: string): void {
  parsed((all) => parseRoutes({ connectTo: [], denyNet: [], proxy: { all } }))(value, option);
}

function parseHost(host: string): void {
  if (
    URL.parse(`http://${host}`)?.host === host.toLowerCase() ||
    URL.parse(`https://${host}`)?.host === host.toLowerCase()
  )
    return;
  throw new Error(`want host[:port], not "${show(host)}"`);
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
    { dirs: listOf(absolutePath, 1), onWarning: callback, workerUrl },
    'openKeystore',
  );
  return { ...checked, dirs: required(checked.dirs, 'dirs') };
}

function required<T>(value: T | undefined, option: string): T {
  if (value !== undefined) return value;
  throw new ImageError('USAGE', `${option}: it is missing`, { option });
}

/** What the calls take. */
type Calls = {
  findImage: FetchCall;
  findImages: BatchCall;
  planImages: PlanCall;
  pushImages: PushCall;
  images: { readonly sort?: string | undefined; readonly order?: string | undefined };
  verify: { readonly images?: readonly string[] | undefined; readonly signal?: AbortSignal | undefined };
  export: ExportOptions;
  extract: ExtractOptions;
  collectGarbage: CollectOptions;
  trust: TrustOptions;
};

const mounts = listOf(members<Mount>({ volume: text, path: text }, 'volume', 'path'));
const volumes = listOf(
  members<Volume>({ name: text, kind: oneOf('host', 'empty'), source: text, readOnly: boolean }, 'name', 'kind'),
);
const imageType = oneOf('guess', 'hash', 'url', 'path', 'name', 'docker');

/** @throws USAGE for what is no string */
export function checkImage(image: string): string {
  text(image, 'image');
  return image;
}

/** The requests of a batch: the same objects, since their `imageID` is set. @throws USAGE */
export function checkApps(apps: Iterable<App | string>): readonly App[] {
  const isIterable = typeof apps === 'object' && (apps as object | null) !== null && Symbol.iterator in apps;
  if (!isIterable) throw new ImageError('USAGE', 'apps: want an array or another iterable object', { option: 'apps' });
  return Array.from(apps, (given) => {
    const app = typeof given === 'string' ? { image: given } : given;
    record(() => undefined)(app, 'apps');
    text(app.image, 'apps.image');
    if (app.type !== undefined) imageType(app.type, 'apps.type');
    if (app.signature !== undefined) text(app.signature, 'apps.signature');
    if (app.directory !== undefined) text(app.directory, 'apps.directory');
    if (app.mounts !== undefined) mounts(app.mounts, 'apps.mounts');
    return app;
  });
}

/** What all apps of a list share. */
export function checkShared(shared: SharedByApps): WithoutUndefined<SharedByApps> {
  return checkMembers<SharedByApps>(shared, { mounts, volumes }, 'createApps') as WithoutUndefined<SharedByApps>; // as checked
}

const milliseconds = integer(0);
const target = { to: absolutePath, overwrite: boolean, signal };

const callChecks: { readonly [N in keyof Calls]: Checks<Calls[N]> } = {
  findImage: { signature: text, type: imageType, signal },
  findImages: {
    signal,
    lock: members<ImageLock>(
      { images: mapOf(text), frozen: boolean, onFound: callback },
      'images',
      'frozen',
      'onFound',
    ),
    onOutcome: callback,
  },
  planImages: { signal, onOutcome: callback },
  pushImages: {
    ...{ to: text, all: boolean, scoped: boolean, noOverwrite: boolean, dryRun: boolean },
    ...{ signal, onOutcome: callback },
  },
  images: { sort: oneOf('importtime', 'lastused', 'name', 'size'), order: oneOf('asc', 'desc') },
  verify: { images: listOf(text), signal },
  export: {
    ...target,
    to: either(instance(Writable, 'a stream'), absolutePath),
    format: oneOf('aci', 'oci', 'docker'),
    limits,
  },
  extract: { ...target, withDeps: boolean, rootfsOnly: boolean, limits },
  collectGarbage: { unusedForMs: milliseconds, partialsOlderThanMs: milliseconds, dryRun: boolean },
  trust: { prefix: text, root: boolean, dir: absolutePath },
};

/** Checks the options of one call. @throws USAGE with the name of the option */
export function checkCall<N extends keyof Calls, T extends Calls[N]>(name: N, options: T): WithoutUndefined<T> {
  const checked = checkMembers<Calls[N]>(options, callChecks[name], name) as WithoutUndefined<T>; // of the same members
  if ('to' in callChecks[name] && !('to' in checked)) required(undefined, 'to');
  return checked;
}

/** An object whose absent members are not there at all. */
type WithoutUndefined<T> = { readonly [K in keyof T]: Exclude<T[K], undefined> };
