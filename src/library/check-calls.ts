import { Writable } from 'node:stream';

import { ImageError } from '../errors.ts';
import type { ImageLock, LockedImage } from '../fetchers/context.ts';
import type { App, AppInput, Mount, SharedByApps, Volume } from '../image/apps.ts';
import { parseDigest } from '../image/digest.ts';
import { parsePlatformChoice } from '../image/platform.ts';
import { parseRegistryReference } from '../image/registry-reference.ts';
import { parseHttpReference } from '../image/url.ts';
import type { BatchCall, FetchCall, ImportCall, PlanCall } from '../options.ts';
import type { PushCall } from '../pusher.ts';
import { keep, limits, platforms, required } from './check-options.ts';
import {
  absolutePath,
  boolean,
  callback,
  type Check,
  checkMembers,
  type Checks,
  either,
  instance,
  integer,
  listOf,
  mapOf,
  members,
  oneOf,
  parsed,
  record,
  text,
  type WithoutUndefined,
} from './checks.ts';
import type { CollectOptions, ExportOptions, ExtractOptions, PruneOptions, TrustOptions } from './types.ts';

const signal = instance(AbortSignal, 'an AbortSignal');

/** What the calls take. */
type Calls = {
  findImage: FetchCall;
  findImages: BatchCall;
  planImages: PlanCall;
  importImages: ImportCall;
  pushImages: PushCall;
  images: { readonly sort?: string | undefined; readonly order?: string | undefined };
  verify: { readonly images?: readonly string[] | undefined; readonly signal?: AbortSignal | undefined };
  export: ExportOptions;
  extract: ExtractOptions;
  collectGarbage: CollectOptions;
  prune: PruneOptions;
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
  return Array.from(apps, checkApp);
}

const entryChecks: readonly (readonly [name: keyof AppInput, check: Check])[] = [
  ...([
    ['type', imageType],
    ['signature', text],
    ['directory', text],
    ['platform', platforms],
    ['keep', keep],
  ] as const),
  ...([
    ['args', listOf(text)],
    ['exec', text],
    ['mounts', mounts],
    ['memoryLimit', text],
    ['cpuLimit', text],
  ] as const),
];

/** @returns an entry that is given as it is. @throws USAGE */
export function checkApp(given: AppInput | string): App {
  const app = typeof given === 'string' ? { image: given } : given;
  record(() => undefined)(app, 'apps');
  text(app.image, 'apps.image');
  for (const [name, check] of entryChecks) if (app[name] !== undefined) check(app[name], `apps.${name}`);
  return app;
}

/** What all apps of a list share. */
export function checkShared(shared: SharedByApps): WithoutUndefined<SharedByApps> {
  return checkMembers<SharedByApps>(shared, { mounts, volumes }, 'createApps') as WithoutUndefined<SharedByApps>; // as checked
}

const digest = parsed(parseDigest);
const lockedImage = members<LockedImage>({
  imageID: text,
  digest,
  url: parsed(parseHttpReference),
  signature: parsed(parseHttpReference),
  platforms: record(digest, parsed(parsePlatformChoice)),
  signedBy: listOf(text),
});
const lock = { images: mapOf(either(text, lockedImage)), frozen: boolean };
const milliseconds = integer(0);
const target = { to: absolutePath, overwrite: boolean, signal };

const callChecks: { readonly [N in keyof Calls]: Checks<Calls[N]> } = {
  findImage: { signature: text, type: imageType, signal },
  findImages: {
    signal,
    lock: members<ImageLock>({ ...lock, onFound: callback }, 'images', 'frozen', 'onFound'),
    onOutcome: callback,
  },
  planImages: { signal, lock: members<typeof lock>(lock, 'images', 'frozen'), onOutcome: callback },
  importImages: { images: listOf(text), as: parsed(parseRegistryReference), signal, onOutcome: callback },
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
  prune: { keep: listOf(text), removesAll: boolean, dryRun: boolean, signal },
  trust: { prefix: text, root: boolean, dir: absolutePath },
};

/** Checks the options of one call. @throws USAGE with the name of the option */
export function checkCall<N extends keyof Calls, T extends Calls[N]>(name: N, options: T): WithoutUndefined<T> {
  const checked = checkMembers<Calls[N]>(options, callChecks[name], name) as WithoutUndefined<T>; // of the same members
  for (const needed of ['to', 'keep']) {
    if (needed in callChecks[name] && !(needed in checked)) required(undefined, needed);
  }
  return checked;
}
