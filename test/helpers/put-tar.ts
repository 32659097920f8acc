import { writeFile } from 'node:fs/promises';

import type { Store, StoredImage } from '../../src/store/store.ts';
import { type AciOptions, buildManifest, buildTar, imageIdOf, type TarItem } from './archive.ts';
import { stampNow } from './blob.ts';

export type TarImage = Pick<AciOptions, 'name' | 'labels' | 'dependencies' | 'manifest'> & {
  /** Entries, the manifest before them if there is none. Or the whole tar, whatever it is. */
  readonly tar: readonly TarItem[] | Uint8Array;
};

/** Commits an image of these entries, past every check that a fetch makes. */
export async function putTar(store: Store, { tar, ...about }: TarImage): Promise<StoredImage> {
  const manifest = JSON.stringify(buildManifest(about));
  const bytes = tar instanceof Uint8Array ? tar : await buildTar([{ name: 'manifest', content: manifest }, ...tar]);
  const path = store.temporaryPath();
  await writeFile(path, bytes, { mode: 0o444 });
  const dependencies = (about.dependencies ?? []).map(({ imageName, imageID, labels = [], size }) => ({
    imageName,
    labels: new Map(labels.map(({ name, value }) => [name, value])),
    ...(imageID !== undefined && { imageId: imageID }),
    ...(size !== undefined && { size }),
  }));
  return store.commit({
    path,
    stamp: stampNow(path),
    manifest,
    image: {
      imageId: imageIdOf(bytes),
      name: about.name,
      labels: new Map(Object.entries(about.labels ?? {})),
      size: bytes.length,
      digest: 'sha256:00',
      source: `/images/${about.name}.aci`,
      verified: false,
      weak: false,
      latest: false,
      dependencies,
    },
  });
}
