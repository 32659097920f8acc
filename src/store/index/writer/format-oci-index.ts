import { containerdName, generationAnnotation, type OciDescriptor, refName } from '../oci-index.ts';

const indexType = 'application/vnd.oci.image.index.v1+json';

/**
 * A registry image as index.json names it: by its manifest, or by the OCI manifest derived from it. The digest is hex
 * digits.
 */
export type OwnDescriptor = {
  readonly reference: string;
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
  const renewed = new Set(
    own.filter((descriptor) => descriptor.generation > shownGeneration).map(({ reference }) => reference),
  );
  const kept = foreign.filter(({ name }) => name === undefined || !renewed.has(name));
  const taken = new Set(kept.map(({ name }) => name));
  const named = own.filter(({ reference }) => !taken.has(reference));
  // an object: parseOciIndex has checked it
  const annotations = { [generationAnnotation]: '', ...(document['annotations'] as object | undefined) };
  const index = {
    ...{ schemaVersion: 2, mediaType: indexType, annotations }, // first, since isStale reads only the beginning
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
