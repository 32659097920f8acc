import { randomBytes } from 'node:crypto';

import * as z from 'zod';

import { ImageError, isImageError } from '../errors.ts';
import type { Keep } from '../image/apps.ts';
import { isPlatformName } from '../image/platform.ts';
import { formatReference, type ImageReference, parseReference, showReference } from '../image/reference.ts';
import { isTrustName } from '../image/registry-reference.ts';
import { type LockedImage, parseDestination } from '../internal.ts';
import { byName, isPlainUrl, lockedImageShape, plainLockedImage, textOf } from '../locked-image.ts';
import { batchIdShape, type DocumentKind, isFleetName, nameShape, timeShape } from './document.ts';

/**
 * What many machines are to do: one document, which its submitter signs. It has nothing that each worker has for itself, such as
 * credentials, paths and certificates.
 */
export type Batch = {
  /** Random, and used once: 32 hex digits. */
  readonly id: string;
  /** What people call it. */
  readonly name: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  /** `shard`: some worker brings an image. `everywhere`: the store of each worker gets it. */
  readonly use: 'shard' | 'everywhere';
  /** Where images are pushed, `docker://HOST[/PREFIX]`; only of a batch that is sharded. */
  readonly to?: string | undefined;
  readonly scoped: boolean;
  readonly noOverwrite: boolean;
  readonly withDeps: boolean;
  /** Absent: what workers do by default. */
  readonly keep?: Keep | undefined;
  /** Empty: that of the worker. */
  readonly platform: readonly string[];
  readonly referrers: boolean;
  /** Images of one host at once, over all workers. */
  readonly perHost: number;
  /** How long results are kept once the batch is complete. */
  readonly keepResultsMs: number;
  readonly images: readonly BatchImage[];
  readonly lock?: BatchLock | undefined;
  /** Public keys that count beside those of a worker, where it accepts that; by prefix of the names of images, never for all. */
  readonly trust?: BatchTrust | undefined;
};

/**
 * A request of a batch, which is known by its place in the list. Its type is never guessed, since a guess would look for a file of that
 * name.
 */
export type BatchImage = {
  /** As `formatReference` writes it: `docker://host/name:tag`, a URL without query, or an image name. */
  readonly image: string;
  readonly type: 'docker' | 'url' | 'name';
  readonly platform?: readonly string[] | undefined;
  readonly keep?: Keep | undefined;
};

/** `key` is armored, or in PEM. */
export type BatchTrust = { readonly keys: readonly { readonly prefix: string; readonly key: string }[] };

/** What images must be, as a lock file says it. */
export type BatchLock = { readonly frozen: boolean; readonly images: Readonly<Record<string, LockedImage>> };

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

export const batchLimits = Object.freeze({
  /** Of a batch, as it is signed. */
  bytes: 64 * 1024 * 1024,
  images: 200_000,
  /** From its creation to its end. */
  lifeMs: 30 * dayMs,
  keepResultsMs: 30 * dayMs,
  perHost: 10_000,
});

export const batchDefaults = Object.freeze({ lifeMs: 7 * dayMs, keepResultsMs: dayMs, perHost: 64 });

const maxImageLength = 2048;
const maxPlatforms = 64;
const maxKeys = 256;
const maxKeyLength = 256 * 1024;

/** Whether a text can be the name of a batch. */
export const isBatchName: (text: string) => boolean = isFleetName;

/** An id that no other batch has. */
export function newBatchId(): string {
  return randomBytes(16).toString('hex');
}

const keep = z.enum(['aci', 'oci', 'both']);
const platforms = z.array(textOf(isPlatformName, 'must be a platform such as linux/arm64')).max(maxPlatforms);

const imageShape: z.ZodType<BatchImage> = z
  .strictObject({
    image: z.string().max(maxImageLength),
    type: z.enum(['docker', 'url', 'name']),
    platform: platforms.min(1).optional(),
    keep: keep.optional(),
  })
  .superRefine(({ image, type }, context) => {
    const problem = problemOf(image, type);
    if (problem !== undefined) context.addIssue({ code: 'custom', path: ['image'], message: problem });
  });

const lockShape: z.ZodType<BatchLock> = z.strictObject({
  frozen: z.boolean(),
  images: z.record(z.string(), lockedImageShape.transform(plainLockedImage)).transform(sortByName),
});

function sortByName<T>(record: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).toSorted(byName));
}

const trustShape: z.ZodType<BatchTrust> = z.strictObject({
  keys: z
    .array(
      z.strictObject({
        prefix: textOf(isTrustName, 'must be the prefix of names of images'),
        key: textOf(isKeyText, 'must be a public key, armored or in PEM'),
      }),
    )
    .min(1)
    .max(maxKeys),
});

/** Whether a text can be a public key in a batch; what is in it is for those who verify with it. */
export function isKeyText(text: string): boolean {
  const [, label = ''] = /^-----BEGIN (PGP PUBLIC KEY BLOCK|PUBLIC KEY)-----\r?\n/.exec(text) ?? [];
  return label !== '' && text.length <= maxKeyLength && /^[\t\r\n\x20-\x7e]*$/.test(text);
}

export const batchKind: DocumentKind<Batch> = {
  what: 'batch',
  payloadType: 'application/vnd.longshore.fleet-batch+json',
  maxBytes: batchLimits.bytes,
  shape: z
    .strictObject({
      id: batchIdShape,
      name: nameShape,
      createdAtMs: timeShape,
      expiresAtMs: timeShape,
      use: z.enum(['shard', 'everywhere']),
      to: textOf(isDestination, 'must be docker://HOST[/PREFIX]').optional(),
      scoped: z.boolean(),
      noOverwrite: z.boolean(),
      withDeps: z.boolean(),
      keep: keep.optional(),
      platform: platforms,
      referrers: z.boolean(),
      perHost: z.int().min(1).max(batchLimits.perHost),
      keepResultsMs: z.int().min(minuteMs).max(batchLimits.keepResultsMs),
      images: z.array(imageShape).min(1).max(batchLimits.images),
      lock: lockShape.optional(),
      trust: trustShape.optional(),
    })
    .superRefine(({ createdAtMs, expiresAtMs, use, to }, context) => {
      const refuse = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message });
      if (expiresAtMs <= createdAtMs) refuse('expiresAtMs', 'must be after its creation');
      if (expiresAtMs - createdAtMs > batchLimits.lifeMs)
        refuse('expiresAtMs', 'must be 30 days after its creation at most');
      if (to !== undefined && use !== 'shard') refuse('to', 'must not be there where each worker gets the images');
    }),
};

const types = { registry: 'docker', url: 'url', name: 'name' } as const;

/**
 * A request as batches have it.
 *
 * @param own - the choices of this image, if it has any. @throws BATCH_INVALID for what only one machine has, and URLs with a query
 */
export function batchImageOf(reference: ImageReference, own: Pick<BatchImage, 'platform' | 'keep'> = {}): BatchImage {
  const { kind } = reference;
  const type = kind === 'file' || kind === 'id' ? undefined : types[kind];
  const image = formatReference(reference);
  const problem = type === undefined ? ofOneMachine : problemOf(image, type);
  if (type !== undefined && problem === undefined) return { image, type, ...own };
  throw new ImageError('BATCH_INVALID', `${showReference(reference.text)} ${problem}`, { why: 'content' });
}

const ofOneMachine = 'is of one machine only: a batch may have images of registries, URLs and names';

/** Completes a sentence about an image that a batch must not have. */
function problemOf(image: string, type: BatchImage['type']): string | undefined {
  if (image.length > maxImageLength) return `has more than ${maxImageLength} characters`;
  try {
    const reference = parseReference(image, { type, directory: '/', isFile: () => false });
    if (reference.kind === 'file' || reference.kind === 'id') return ofOneMachine;
    if (types[reference.kind] !== type) return `is not of the type ${type}`;
    if (type === 'url' && !isPlainUrl(image)) return 'must be a URL without user, query and fragment';
    return formatReference(reference) === image ? undefined : 'must be written in full, as in a lock file';
  } catch (error) {
    if (isImageError(error)) return `is none: ${error.message}`;
    throw error;
  }
}

function isDestination(text: string): boolean {
  try {
    const { host, prefix } = parseDestination(text, 'to');
    return text === `docker://${host}${prefix === '' ? '' : `/${prefix}`}`;
  } catch (error) {
    if (isImageError(error)) return false;
    throw error;
  }
}
