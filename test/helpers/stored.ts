import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { ExecutionContext } from 'ava';

import type { Store, StoredImage } from '../../src/store/store.ts';
import { type AciOptions, buildAci } from './archive.ts';
import { stampNow } from './blob.ts';

/** A directory of its own for one test, gone afterwards. */
export async function temporaryDirectory(t: ExecutionContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'longshore-test-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Commits an image as a fetch would, without the fetch. */
export async function putImage(
  store: Store,
  options: AciOptions,
  about: Partial<Pick<StoredImage, 'source' | 'verified' | 'latest' | 'weak'>> = {},
): Promise<StoredImage> {
  const { tar, bytes, imageId, manifest } = await buildAci(options);
  const path = store.temporaryPath();
  await writeFile(path, tar, { mode: 0o444 });
  const { name, version, labels, dependencies = [] } = options;
  return store.commit({
    path,
    stamp: stampNow(path),
    manifest,
    image: {
      imageId,
      name,
      labels: new Map(Object.entries({ ...(version !== undefined && { version }), ...labels })),
      size: tar.length,
      digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
      source: `/images/${name}.aci`,
      verified: false,
      weak: false,
      latest: false,
      dependencies: dependencies.map(({ imageName, imageID, labels: wanted = [], size }) => ({
        imageName,
        labels: new Map(wanted.map((label) => [label.name, label.value])),
        ...(imageID !== undefined && { imageId: imageID }),
        ...(size !== undefined && { size }),
      })),
      ...about,
    },
  });
}
