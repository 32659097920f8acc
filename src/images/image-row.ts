import type { StoredImage } from '../store/store.ts';

/** One image as JSON output shows it: IDs whole, times ISO 8601 in UTC, absent facts left out. */
export type ImageRow = {
  readonly imageID: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Bytes of the uncompressed image. */
  readonly size: number;
  readonly importedAt: string;
  readonly lastUsedAt: string;
  readonly latest: boolean;
  readonly source: string;
  /** Fingerprints of the keys that signed it; false: nobody checked. */
  readonly verified: readonly string[] | false;
  /** `sha256:` and hex of the bytes as transferred. */
  readonly digest: string;
};

export function imageRow(image: StoredImage): ImageRow {
  const { imageId, name, labels, size, importedAtMs, lastUsedAtMs, latest, source, verified, digest } = image;
  return {
    imageID: imageId,
    name,
    labels: Object.fromEntries(labels),
    size,
    importedAt: new Date(importedAtMs).toISOString(),
    lastUsedAt: new Date(lastUsedAtMs).toISOString(),
    latest,
    source,
    verified,
    digest,
  };
}
