import { containerdName, generationAnnotation, refName, type OciDescriptor } from '../oci-index.ts';

const indexType = 'application/vnd.oci.image.index.v1+json';

/** A registry image as index.json names it: by the manifest, or the one derived from it. The digest is hex digits. */
export type OwnDescriptor = {
  readonly reference: string;
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | null;
  /** When it was committed. */
  readonly generation: number;
};

type OciIndexParts = {
  /** The present file, whose other members stay. */
  readonly document: Readonly<Record<string, unknown>>;
  readonly foreign: readonly OciDescriptor[];
  readonly own: readonly OwnDescriptor[];
  /** The last generation that went into the present file, 0 for none. */
  readonly shownGeneration: number;
  readonly generation: string;
};

/**
 * The text of index.json. A name leads to one manifest only: where another tool gave a name of ours to something else, the
 * one who wrote last has it, as among those tools.
 *
 * @see OCI image-spec, image-index.md and annotations.md
 */
export function formatOciIndex(parts: OciIndexParts): string {
  const { document, foreign, own, shownGeneration, generation } = parts;
  const renewed = new Set(own.filter((one) => one.generation > shownGeneration).map(({ reference }) => reference));
  const kept = foreign.filter(({ name }) => name === undefined || !renewed.has(name));
  const taken = new Set(kept.map(({ name }) => name));
  const named = own.filter(({ reference }) => !taken.has(reference));
  const annotations = { [generationAnnotation]: '', ...(document['annotations'] as object | undefined) }; // it was parsed
  const index = {
    ...{ schemaVersion: 2, mediaType: indexType, annotations }, // first: isStale looks at the beginning alone
    ...document,
    annotations: { ...annotations, [generationAnnotation]: generation },
    manifests: [...kept.map(({ entry }) => entry), ...named.map(toEntry)],
  };
  return `${JSON.stringify(index)}\n`;
}

function toEntry({ reference, digest, mediaType, size, os, architecture, variant }: OwnDescriptor): object {
  return {
    mediaType,
    digest: `sha256:${digest}`,
    size,
    platform: { architecture, os, ...(variant !== null && { variant }) },
    annotations: { [refName]: reference, [containerdName]: reference },
  };
}
