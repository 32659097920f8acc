import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { ExecutionContext } from 'ava';

import { type ImageId, parseImageId } from '../../src/image/image-id.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Commit, Store, StoredImage } from '../../src/store/store.ts';
import { stampFile } from '../../src/system/files.ts';

export type BlobOptions = Partial<Omit<StoredImage, 'labels' | 'archive'>> & {
  readonly content?: Uint8Array;
  readonly labels?: Readonly<Record<string, string>>;
};

/** The stamp of a file as it is now. */
export function stampNow(path: string): Commit['stamp'] {
  const found = stampFile(path);
  if (!found) throw new Error(`${path} is no file`);
  return found.stamp;
}

export function idOf(content: Uint8Array): ImageId {
  return parseImageId(`sha512-${createHash('sha512').update(content).digest('hex')}`);
}

/** A commit of any bytes under the hash of them: the store does not look into an image. */
export async function prepareBlob(store: Store, options: BlobOptions = {}): Promise<Commit> {
  const { content = randomBytes(64), labels = {}, ...about } = options;
  const path = store.temporaryPath();
  await writeFile(path, content, { mode: 0o444, flag: 'wx' });
  return {
    path,
    stamp: stampNow(path),
    manifest: '{"acKind":"ImageManifest"}',
    image: {
      imageId: idOf(content),
      name: 'example.com/app',
      size: content.byteLength,
      latest: false,
      source: 'https://example.com/app.aci',
      digest: 'sha256:00',
      verified: false,
      weak: false,
      dependencies: [],
      labels: new Map(Object.entries(labels)),
      ...about,
    },
  };
}

export async function commitBlob(store: Store, options: BlobOptions = {}): Promise<StoredImage> {
  return store.commit(await prepareBlob(store, options));
}

/** A fresh directory that is gone when the test ends; the store in it is not made yet. */
export async function storeDirectory(t: ExecutionContext): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'longshore-store-'));
  t.teardown(() => rm(parent, { recursive: true, force: true }));
  return join(parent, 'store');
}

export async function openTestStore(t: ExecutionContext, writesLittle = false): Promise<Store> {
  const store = await openStore({ dir: await storeDirectory(t), writesLittle });
  t.teardown(() => store.close());
  return store;
}
