import * as z from 'zod';

import { isDigest, type Digest } from '../image/digest.ts';
import { listOf, text, texts } from '../image/go-json.ts';

const digestProblem = 'must be sha256: and 64 lower-case hex digits';

export const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), digestProblem);

/** `urls` are those of a foreign layer. */
const descriptor = z.object({
  mediaType: text,
  digest,
  size: z.int().nonnegative('must not be negative'),
  annotations: texts,
  urls: listOf(text),
});

const platformMembers = z.object({ os: text, architecture: text, variant: text });
const platform = platformMembers.nullish().transform((named) => {
  if (!named?.os && !named?.architecture) return undefined;
  const { os, architecture, variant } = named;
  return { os, architecture, ...(variant && { variant }) };
});

const schemaVersion = z.literal(2);

export const indexShape = z.object({
  schemaVersion,
  manifests: listOf(descriptor.extend({ platform })),
  annotations: texts,
});

export const manifestShape = z.object({
  schemaVersion,
  config: descriptor,
  layers: listOf(descriptor),
  annotations: texts,
  artifactType: text,
});

export type RawDescriptor = z.infer<typeof descriptor>;

/** The members that say what a document, or a part of one, is. */
export const knownKeys: readonly string[] = [indexShape, manifestShape, descriptor, platformMembers]
  .flatMap((shape) => Object.keys(shape.shape))
  .concat('mediaType', 'platform');
