import { cp, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { ExecutionContext } from 'ava';

import type { Store } from '../../src/store/store.ts';
import { putRegistryImage } from './registry-image.ts';
import { runHere } from './run-here.ts';
import { putImage, temporaryDirectory } from './stored.ts';

export const signer = 'ab'.repeat(20);

export type Listed = { readonly imageID: string; readonly verified: unknown; readonly reference?: string };

/** So many images and as many of a registry, all verified. */
export async function fill(store: Store, count: number): Promise<void> {
  for (let seed = 0; seed < count; seed++)
    await putImage(store, { name: 'example.com/app', size: 100, seed }, { verified: [signer] });
  for (let at = 0; at < count; at++) await putRegistryImage(store, { content: `v${at}`, verified: [signer] });
  await store.writeOciIndex();
}

export async function copyOf(t: ExecutionContext, dir: string): Promise<string> {
  const to = join(await temporaryDirectory(t), 'store');
  await cp(dir, to, { recursive: true, preserveTimestamps: true });
  return to;
}

/** Runs `longshore image`. */
export const image = (dir: string, ...args: string[]) => runHere(['image', ...args, '--dir', dir]);

export async function blobsOf(dir: string): Promise<string[]> {
  return (await readdir(join(dir, 'blobs'), { recursive: true })).sort();
}

export async function listed(dir: string): Promise<readonly Listed[]> {
  const { code, stdout, stderr } = await image(dir, 'list', '--output=json');
  if (code !== 0) throw new Error(stderr);
  return (JSON.parse(stdout) as { images: Listed[] }).images;
}
