import type { ExecutionContext } from 'ava';

import type { ActionOptions } from '../../src/internal.ts';
import { buildTar } from './archive.ts';
import { type Fetching, openFetching } from './fetching.ts';
import { startRegistry, type TestRegistry, type TestRegistryOptions } from './registry.ts';

export type RegistryFetching = Fetching & {
  readonly registry: TestRegistry;
  /** `docker://127.0.0.1:PORT/NAME` */
  reference(this: void, name: string): string;
  /** How often the registry was asked for what begins so: `GET /v2/app/blobs/`. */
  asked(this: void, start: string): number;
  /** Digests that lie in the store, listed or not. */
  blobs(this: void): Promise<readonly string[]>;
  /** References of the images that are kept as they came. */
  kept(this: void): Promise<readonly string[]>;
};

/** A registry, and finders of the platform linux/amd64 on a store of their own. */
export async function openRegistryFetching(
  t: ExecutionContext,
  base: Partial<ActionOptions> = {},
  options: TestRegistryOptions = {},
): Promise<RegistryFetching> {
  const registry = await startRegistry(t, options);
  const fetching = await openFetching(t, { platform: ['linux/amd64'], ...base });
  const { store } = fetching;
  return {
    ...fetching,
    registry,
    reference: (name) => `docker://${registry.host}/${name}`,
    asked: (start) => registry.requests.filter(({ method, url }) => `${method} ${url}`.startsWith(start)).length,
    blobs: async () => (await Array.fromAsync(store.blobRows())).map(({ digest }) => digest),
    kept: async () => (await Array.fromAsync(store.registryImages())).map(({ reference }) => reference),
  };
}

/** A layer of files, not compressed. */
export function layerOf(files: Readonly<Record<string, string | Uint8Array>>): Promise<Buffer> {
  return buildTar(Object.entries(files).map(([name, content]) => ({ name, content })));
}
