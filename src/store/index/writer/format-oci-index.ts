import { containerdName, generationAnnotation, type OciDescriptor, refName } from '../oci-index.ts';

const indexType = 'application/vnd.oci.image.index.v1+json';

/**
 * The name of a registry image in index.json, as SQL. A reference with the digest of an index gets that of the manifest which was
 * chosen from it: the store does not have what else the index names.
 */
export const shownName = 'iif(list IS NULL, reference, replace(reference, list, manifest))';

/**
 * A registry image as index.json names it: by its manifest or index, or by the OCI one derived from that. The digest is hex
 * digits.
 */
export type OwnDescriptor = {
  readonly name: string;
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | null;
  /** The value of the generation counter when it was committed. */
  readonly generation: number;
};

type OciIndexParts = {
  /** The current file. Its other members are kept. */
  readonly document: Readonly<Record<string, unknown>>;
  readonly foreign: readonly OciDescriptor[];
  readonly own: readonly OwnDescriptor[];
  /** The generation that the current file shows, 0 for none. */
  readonly shownGeneration: number;
  readonly generation: string;
};

/**
 * Formats index.json. A name stands for one manifest only. Where another tool has given one of our names to another
 * manifest, the last writer wins, as among other tools.
 *
 * @see OCI image-spec, image-index.md and annotations.md
 */
export function formatOciIndex(parts: OciIndexParts): string {
  const { document, foreign, own, shownGeneration, generation } = parts;
  const renewed = new Set(own.filter((descriptor) => descriptor.generation > shownGeneration).map(({ name }) => name));
  const kept = foreign.filter(({ name }) => name === undefined || !renewed.has(name));
  const taken = new Set(kept.map(({ name }) => name));
  const named = new Map(own.filter(({ name }) => !taken.has(name)).map((one) => [`${one.name} ${one.digest}`, one]));
  // an object: parseOciIndex has checked it
  const annotations = { [generationAnnotation]: '', ...(document['annotations'] as object | undefined) };
  const index = {
    ...{ schemaVersion: 2, mediaType: indexType, annotations }, // first, since isStale reads only the beginning
    ...document,
    annotations: { ...annotations, [generationAnnotation]: generation },
    manifests: [...kept.map(({ entry }) => entry), ...Array.from(named.values(), toEntry)],
  };
  return `${JSON.stringify(index)}\n`;
}

function toEntry({ name, digest, mediaType, size, os, architecture, variant }: OwnDescriptor): object {
  return {
    mediaType,
    digest: `sha256:${digest}`,
    size,
    ...(mediaType !== indexType && { platform: { architecture, os, ...(variant !== null && { variant }) } }),
    annotations: { [refName]: name, [containerdName]: name },
  };
}
