import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { ExecutionContext } from 'ava';

import { buildAci } from './archive.ts';
import { environmentIn } from './environment.ts';
import { startOrigin } from './origin.ts';
import { startRegistry, types } from './registry.ts';
import { layerOf } from './registry-fetching.ts';
import { runHere } from './run-here.ts';
import { temporaryDirectory } from './stored.ts';

type LockedEntry = {
  readonly imageID?: string;
  readonly digest?: string;
  readonly url?: string;
  readonly signature?: string;
  readonly platforms?: Readonly<Record<string, string>>;
  readonly signedBy?: readonly string[];
};

type LockDocument = { readonly schema: string; readonly images: Record<string, LockedEntry> };

/** `example.com/app`, which needs `example.com/base`, at an origin, and longshore with a lock file and stores. */
export async function locking(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const origin = await startOrigin(t);
  const base = await origin.publish({ name: 'example.com/base', version: '1' });
  const dependencies = [{ imageName: 'example.com/base', labels: [{ name: 'version', value: '1' }] }];
  const app = await origin.publish({ name: 'example.com/app', version: '1', dependencies });
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_INSECURE_OPTIONS: 'image,http',
    LONGSHORE_DISCOVER: `example.com=${origin.url}`,
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_RETRIES: '0',
    LONGSHORE_LOCK: at('lock.json'),
  };
  const fetch = (store: string, ...args: readonly string[]) =>
    runHere(['fetch', '--full', '--dir', at(store), ...args], environment);
  return {
    ...{ at, origin, base, app, fetch },
    list: async (store: string) => {
      const { code, stdout } = await runHere(['image', 'list', '--full', '--dir', at(store)], environment);
      t.is(code, 0);
      return stdout;
    },
    lock: async () => JSON.parse(await readFile(at('lock.json'), 'utf8')) as LockDocument,
    /** Another image of the same name in its place. */
    replace: async (published: typeof app) => {
      const { bytes, imageId } = await buildAci({ name: 'example.com/app', version: '1', size: 4321 });
      origin.routes[new URL(published.url).pathname] = { body: bytes };
      return imageId;
    },
  };
}

/** A registry with an image for two processors, for which longshore asks. */
export async function lockingTag(t: ExecutionContext) {
  const locked = await locking(t);
  const registry = await startRegistry(t);
  const put = async (text: string, armText = text) => {
    const images = Object.entries({ amd64: text, arm64: armText }).map(async ([architecture, content]) => {
      const image = registry.putImage('team/app', undefined, { layers: [await layerOf({ content })], architecture });
      return { ...image, platform: { os: 'linux', architecture } };
    });
    const manifests = await Promise.all(images);
    const index = registry.putManifest('team/app', '1', { schemaVersion: 2, manifests }, types.index);
    return { index: index.digest, amd64: manifests[0]?.digest, arm64: manifests[1]?.digest };
  };
  const first = await put('one');
  const reference = `docker://${registry.host}/team/app:1`;
  return { ...locked, registry, put, first, reference, options: ['--platform', 'linux/amd64', reference] };
}
