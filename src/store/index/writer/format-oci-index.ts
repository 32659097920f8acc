import { containerdName, factsAnnotation, generationAnnotation, type OciDescriptor, refName } from '../oci-index.ts';

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
  /** What a repair could not know otherwise, as JSON. */
  readonly facts: string | null;
};

/**
 * The facts of a registry image for index.json, as SQL: what is attached to it, and where its name has a digest, the complete
 * reference and the index that it was chosen from. A tag leads to the one index by itself.
 */
export const shownFacts = `iif(referrers IS NULL AND (list IS NULL OR reference NOT LIKE '%@%'), NULL, json_patch('{}', json_object(
  'reference', iif(list IS NOT NULL AND instr(reference, list), reference, NULL),
  'index', iif(reference LIKE '%@%' AND list IS NOT NULL, 'sha256:' || list, NULL),
  'referrers', json(referrers))))`;

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

function toEntry({ name, digest, mediaType, size, os, architecture, variant, facts }: OwnDescriptor): object {
  return {
    mediaType,
    digest: `sha256:${digest}`,
    size,
    ...(mediaType !== indexType && { platform: { architecture, os, ...(variant !== null && { variant }) } }),
    annotations: { [refName]: name, [containerdName]: name, ...(facts !== null && { [factsAnnotation]: facts }) },
  };
}
