import * as z from 'zod';

import { acIdentifierProblem } from '../image/ac-identifier.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import { type ImageId, isImageId } from '../image/image-id.ts';
import { describeJsonFault, parseJsonStrict } from '../image/json.ts';
import { defaultLimits } from '../image/limits.ts';
import { parseNamedReference } from '../image/registry-reference.ts';
import { checkShape, formatFault } from '../image/shape.ts';
import { type Bundle, bundleSchema, maxImages } from './bundle.ts';

const maxLeftOut = 1_000_000;
const maxReferrers = 4096;
const maxPlatforms = 1024;
/** A manifest of 1 MiB has fewer. */
const maxLabels = 100_000;

/** Of a manifest, an index or an archive, none of which is larger. */
const text = z.string().max(defaultLimits.registryManifest);
/** What proves a signature: base64, PEM or JSON. */
const material = z.string().max(defaultLimits.signature);
const size = z.int().min(0);
const digest = z.custom<Digest>(is(isDigest), 'is no digest: sha256: and 64 lower-case hex digits');
const imageId = z.custom<ImageId>(is(isImageId), 'is no image ID: sha512- and 128 lower-case hex digits');

function is(test: (text: string) => boolean): (value: unknown) => boolean {
  return (value) => typeof value === 'string' && test(value);
}

/** Written as the store writes it: complete, and in lower case. */
const reference = z.string().refine((value) => {
  const { host, repository, tag, digest } = parseNamedReference(value) ?? {};
  const end = `${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
  return end !== '' && value === `${host}/${repository}${end}`;
}, 'must be a complete reference: HOST/NAME:TAG or HOST/NAME@DIGEST');

const name = z.string().superRefine((value, context) => {
  const problem = acIdentifierProblem(value);
  if (problem !== undefined) context.addIssue(problem);
});

const platform = z.object({ os: text, architecture: text, variant: text.exactOptional() });
const descriptor = z.object({ mediaType: text.min(1), digest, size });

const signed = { digest, size: size.max(defaultLimits.signature), covers: digest, signedBy: z.array(text).max(64) };
const ofCosign = {
  ...signed,
  signature: material,
  logEntry: material.exactOptional(),
  timestamp: material.exactOptional(),
};
const proof = z.discriminatedUnion(
  'kind',
  [
    z.object({ kind: z.enum(['openpgp', 'simple-signing', 'sigstore-bundle']), ...signed }),
    z.object({ kind: z.literal('cosign-key'), ...ofCosign }),
    z.object({
      kind: z.literal('cosign-certificate'),
      ...ofCosign,
      certificate: material,
      chain: material.exactOptional(),
    }),
  ],
  'is of a kind of signatures that is not known',
);

const provenance = {
  source: text,
  latest: z.boolean().default(false),
  proofs: z.array(proof).max(defaultLimits.signatures).default([]),
};

const archive = z
  .object({
    ...{ imageID: imageId, name, size, digest, transferred: size.exactOptional() },
    labels: z
      .record(z.string(), text)
      .transform((all) => new Map(Object.entries(all)))
      .refine(({ size }) => size <= maxLabels, `must have ${maxLabels} labels or less`),
    ...provenance,
  })
  .transform(({ imageID, ...rest }) => ({ imageId: imageID, ...rest }));

const image = z
  .object({
    ...{ reference, manifest: descriptor, index: descriptor.exactOptional(), oci: descriptor.exactOptional() },
    platform: platform.exactOptional(),
    platforms: z.array(platform).max(maxPlatforms).exactOptional(),
    referrers: z
      .array(descriptor.extend({ artifactType: text, subject: digest, tag: text.exactOptional() }))
      .max(maxReferrers)
      .default([]),
    ...provenance,
  })
  .refine(({ platform, platforms }) => !platform !== !platforms, 'must have either a platform or platforms')
  .transform((found) => ({ ...found, platform: found.platform ?? { os: '', architecture: '' } }));

const shape = z
  .object({
    schema: z.literal(bundleSchema, `must be ${bundleSchema}`),
    archives: z
      .array(archive)
      .max(maxImages)
      .superRefine(eachOnce('imageID', ({ imageId }) => imageId)),
    images: z
      .array(image)
      .max(maxImages)
      .superRefine(eachOnce('reference', ({ reference }) => reference)),
    leftOut: z
      .array(z.union([digest, imageId]))
      .max(maxLeftOut)
      .default([]),
  })
  .transform(({ archives, images, leftOut }): Bundle => ({ archives, images, leftOut }));

function eachOnce<T>(member: string, key: (one: T) => string): (all: readonly T[], context: z.RefinementCtx) => void {
  return (all, context) => {
    const seen = new Set<string>();
    for (const [index, one] of all.entries()) {
      if (seen.has(key(one))) context.addIssue({ code: 'custom', path: [index, member], message: 'is there twice' });
      seen.add(key(one));
    }
  };
}

export type ParsedBundle =
  | { readonly ok: true; readonly bundle: Bundle }
  | { readonly ok: false; readonly problem: string };

/**
 * Parses `longshore/bundle.json`. What it says of an image has to be compared with the image itself: anybody may have written it.
 *
 * @param bytes - at most `maxBundleBytes`.
 * @returns the problem as a sentence, safe to display, for anything else
 */
export function parseBundle(bytes: Uint8Array): ParsedBundle {
  const json = parseJsonStrict(bytes, { caseSensitive: true });
  if (!json.ok) return { ok: false, problem: `it ${describeJsonFault(json.fault)}` };
  const shaped = checkShape(shape, json.value);
  return shaped.ok ? { ok: true, bundle: shaped.value } : { ok: false, problem: formatFault(shaped.fault) };
}
