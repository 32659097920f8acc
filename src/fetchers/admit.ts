import { rm } from 'node:fs/promises';

import type { Commit, Remote, StoredImage } from '../store/store.ts';
import type { Checked } from './check.ts';
import type { FetchContext } from './context.ts';

export type Admission = {
  readonly checked: Checked;
  /** A URL without credentials and query, or a path. */
  readonly source: string;
  readonly latest: boolean;
  /** What to remember of the URL it came from. */
  readonly remote?: { readonly url: string; readonly record: Omit<Remote, 'imageId'> };
};

/** Makes a checked image visible, with where it came from and how it was verified, in one transaction; or removes it. */
export async function admit(
  { store }: FetchContext,
  { checked, source, latest, remote }: Admission,
): Promise<StoredImage> {
  const { ingested, image, verification } = checked;
  const { imageId, parsed, size, digest, manifest, stamp } = ingested;
  const commit: Commit = {
    path: image,
    stamp,
    image: {
      imageId,
      name: parsed.name,
      labels: parsed.labels,
      dependencies: parsed.dependencies,
      size,
      digest,
      source,
      latest,
      verified: verification?.signedBy ?? false,
      weak: verification?.weak ?? false,
    },
    manifest,
    ...(remote && { remote: { url: remote.url, record: { imageId, ...remote.record } } }),
  };
  return store.commit(commit).catch(async (error: unknown) => {
    await rm(image, { force: true });
    throw error;
  });
}
