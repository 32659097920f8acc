import * as z from 'zod';

import { isDigest, type Digest } from '../image/digest.ts';

const digestProblem = 'want sha256: and 64 lower-case hex digits';

export const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), digestProblem);

export const texts = z
  .record(z.string(), z.string())
  .nullish()
  .transform((record) => record ?? {});

/** `urls` are those of a foreign layer. */
const descriptor = z.object({
  mediaType: z.string(),
  digest,
  size: z.int().nonnegative(),
  annotations: texts,
  urls: z
    .array(z.string())
    .nullish()
    .transform((urls) => urls ?? []),
});

const platform = z
  .object({ os: z.string().default(''), architecture: z.string().default(''), variant: z.string().optional() })
  .nullish()
  .transform((named) => {
    if (!named?.os && !named?.architecture) return undefined;
    const { os, architecture, variant } = named;
    return { os, architecture, ...(variant && { variant }) };
  });

const schemaVersion = z.literal(2);

export const indexShape = z.object({
  schemaVersion,
  manifests: z.array(descriptor.extend({ platform })),
  annotations: texts,
});

export const manifestShape = z.object({
  schemaVersion,
  config: descriptor,
  layers: z.array(descriptor),
  annotations: texts,
  artifactType: z.string().optional(),
});

export type RawDescriptor = z.infer<typeof descriptor>;
