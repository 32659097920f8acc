import type { GoPlatform } from '../image/platform.ts';
import type { Entry } from './entry.ts';

/** One image as JSON output shows it: IDs whole, times ISO 8601 in UTC, absent facts left out. */
export type ImageRow = {
  /** The digest of its manifest where it is one of a registry as it came. */
  readonly imageID: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Bytes of the uncompressed image; of a registry's, of all its blobs. */
  readonly size: number;
  readonly importedAt: string;
  readonly lastUsedAt: string;
  readonly latest: boolean;
  readonly source: string;
  /** Fingerprints of the keys that signed it; false: nobody checked. */
  readonly verified: readonly string[] | false;
  /** `sha256:` and hex of the bytes as transferred; of a registry's image, of its manifest. */
  readonly digest: string;
  /** Of a registry's image alone: what it is called, what it is for, and the image that was made of it. */
  readonly reference?: string;
  readonly platform?: GoPlatform;
  readonly convertedTo?: string;
};

export function imageRow(entry: Entry): ImageRow {
  const { id, name, labels, size, importedAtMs, lastUsedAtMs, latest, source, verified } = entry;
  return {
    imageID: id,
    name,
    labels: Object.fromEntries(labels),
    size,
    importedAt: new Date(importedAtMs).toISOString(),
    lastUsedAt: new Date(lastUsedAtMs).toISOString(),
    latest,
    source,
    verified,
    ...(entry.kind === 'image' ? { digest: entry.image.digest } : registryFacts(entry)),
  };
}

function registryFacts({ id, image }: Extract<Entry, { kind: 'registry' }>) {
  const { reference, platform, imageId } = image;
  return { digest: id, reference, platform, ...(imageId !== undefined && { convertedTo: imageId }) };
}
