import { Readable } from 'node:stream';

import { openFetchPool } from '../compose.ts';
import { ImageError } from '../errors.ts';
import { createFetcher as createEngineFetcher, createFinder as createEngineFinder } from '../finder.ts';
import { type AppInput, type Apps, createApps as createAppsList, type SharedByApps } from '../image/apps.ts';
import { fileSource, type ImportSource } from '../import/receive.ts';
import type * as engine from '../options.ts';
import type { Pool as EnginePool } from '../pool/pool.ts';
import { createPusher as createEnginePusher, type PushInput } from '../pusher.ts';
import { checkApp, checkApps, checkCall, checkImage, checkShared } from './check-calls.ts';
import { checkActionOptions, checkPoolOptions, checkPusherOptions } from './check-options.ts';
import { absolutePath, boolean, callback, either, instance } from './checks.ts';
import { engineKeystoreOf, enginePolicyOf } from './keystore.ts';
import { engineOf } from './store.ts';
import type { ActionOptions, Fetcher, Finder, Pool, PoolOptions, Pusher, PusherOptions } from './types.ts';
import { workerFileOf } from './worker-file.ts';

const pools = new WeakMap<Pool, EnginePool>();

/** Starts threads for several finders. @throws USAGE, FILE_UNREADABLE where the process may open hardly any files */
export function openPool(options: PoolOptions = {}): Pool {
  const { workerUrl, ...checked } = checkPoolOptions(options);
  const engine = openFetchPool({ ...checked, workerFile: workerFileOf(workerUrl) });
  const close = (): Promise<void> => engine.close();
  const pool = { close, [Symbol.asyncDispose]: close };
  pools.set(pool, engine);
  return pool;
}

function enginePoolOf(pool: Pool): EnginePool {
  const engine = pools.get(pool);
  if (engine) return engine;
  throw new ImageError('USAGE', 'pool: want what openPool returns', { option: 'pool' });
}

/**
 * Makes an Apps list of image references or entries. Their types are checked, and nothing else before `validate` or a fetch.
 *
 * @throws USAGE
 */
export function createApps(inputs: readonly (string | AppInput)[], shared: SharedByApps = {}): Apps {
  const list = createAppsList(checkApps(inputs), checkShared(shared));
  const unchecked = { ...list };
  const create: Apps['create'] = (input) => unchecked.create(checkApp(input));
  const walk: Apps['walk'] = async (visit) => {
    callback(visit, 'visit');
    await unchecked.walk(visit);
  };
  return Object.assign(list, { create, walk });
}

/** Creates a finder: it answers from the store where the policy allows it, and fetches the rest. @throws USAGE */
export function createFinder(options: ActionOptions): Finder {
  const finder = createEngineFinder(engineOptions(options, 'createFinder'));
  return {
    findImage: async (image, call = {}) => finder.findImage(checkImage(image), checkCall('findImage', call)),
    findImages: async (apps, call = {}) => finder.findImages(checkApps(apps), checkCall('findImages', call)),
    planImages: async (apps, call = {}) => finder.planImages(checkApps(apps), checkCall('planImages', call)),
    importImages: async (from, call = {}) => {
      const [checked, source] = [checkCall('importImages', call), await openSource(from)];
      return finder.importImages(source, checked).finally(() => source.kind === 'pipe' && source.bytes.destroy());
    },
    close: () => finder.close(),
    [Symbol.asyncDispose]: () => finder.close(),
  };
}

/** @throws USAGE, FILE_NOT_FOUND, FILE_UNREADABLE */
async function openSource(from: string | Readable): Promise<ImportSource> {
  either(instance(Readable, 'a stream'), absolutePath)(from, 'from');
  if (typeof from === 'string') return fileSource(from);
  if (from.readableEncoding !== null) {
    throw new ImageError('USAGE', 'from: want a stream of bytes, without an encoding', { option: 'from' });
  }
  from.once('error', () => undefined); // it may fail before it is read, which would end the process
  return { kind: 'pipe', bytes: from, name: 'the stream' };
}

/** Creates a fetcher: a finder for single images that are not image IDs. @throws USAGE */
export function createFetcher(options: ActionOptions): Fetcher {
  const fetcher = createEngineFetcher(engineOptions(options, 'createFetcher'));
  return {
    fetchImage: async (image, call = {}) => fetcher.fetchImage(checkImage(image), checkCall('findImage', call)),
    close: () => fetcher.close(),
    [Symbol.asyncDispose]: () => fetcher.close(),
  };
}

/** Creates what pushes images of the store into registries. @throws USAGE */
export function createPusher(options: PusherOptions): Pusher {
  const { store, pool, ...rest } = checkPusherOptions(options);
  const given = { ...rest, ...engineOf(store), ...(pool !== undefined && { pool: enginePoolOf(pool) }) };
  const pusher = createEnginePusher(given);
  return {
    pushImages: async (images, call) => pusher.pushImages(checkPushed(images), checkCall('pushImages', call)),
    close: () => pusher.close(),
    [Symbol.asyncDispose]: () => pusher.close(),
  };
}

/** @throws USAGE */
function checkPushed(images: Iterable<string | PushInput>): readonly PushInput[] {
  return checkApps(images).map((given) => {
    const { image, type, skipsArchives }: PushInput = given;
    if (skipsArchives !== undefined) boolean(skipsArchives, 'images.skipsArchives');
    return { image, type, skipsArchives };
  });
}

function engineOptions(options: ActionOptions, what: string): engine.ActionOptions {
  const { store, keystore, policy, pool, ...rest } = checkActionOptions(options, what);
  return {
    ...rest,
    ...engineOf(store),
    ...(keystore !== undefined && { keystore: engineKeystoreOf(keystore) }),
    ...(policy !== undefined && { policy: enginePolicyOf(policy) }),
    ...(pool !== undefined && { pool: enginePoolOf(pool) }),
  };
}
