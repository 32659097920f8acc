import * as z from 'zod';

import { type ErrorData, fromErrorData, hasCode, ImageError, isImageError } from '../errors.ts';
import type { Outcome } from '../events.ts';
import { isDigest } from '../image/digest.ts';
import { type ImageId, isImageId } from '../image/image-id.ts';
import { show } from '../image/show.ts';
import type { AcceptedKeys, EnvelopeKey } from '../image/sigstore/dsse.ts';
import { isHttpUrl } from '../image/url.ts';
import type { LockedImage } from '../internal.ts';
import { byName, isPlainUrl, lockedImageShape, plainLockedImage, textOf } from '../locked-image.ts';
import { type Batch, batchLimits } from './batch.ts';
import {
  batchIdShape,
  type DocumentKind,
  envelopeLimit,
  nameShape,
  openDocument,
  signDocument,
  type Signed,
  timeShape,
} from './document.ts';

/** What a worker says of an image of a batch that is done. */
export type Result = {
  /** The id of the batch. */
  readonly id: string;
  /** The place of the image in the batch. */
  readonly index: number;
  /** The name of the worker. */
  readonly worker: string;
  /** Of the image, as in a fetch of the whole batch. */
  readonly outcome: Outcome;
  /** Of what it depends on. */
  readonly nodes: readonly Outcome[];
  /** `HOST/REPOSITORY@sha256:…`: where it was pushed. */
  readonly pushed?: string | undefined;
  /** What was brought, by reference as a lock file has it. */
  readonly locked: readonly (readonly [reference: string, image: LockedImage])[];
  readonly validators?: readonly UrlValidators[] | undefined;
  /** How often workers began with it. */
  readonly tries: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
};

/** What the server of a URL said of the version of the image that it gave. */
export type UrlValidators = {
  readonly url: string;
  readonly imageID: ImageId;
  readonly etag?: string | undefined;
  readonly lastModified?: string | undefined;
};

const text = z.string().max(8192);
const texts = z.array(text).max(1024);
const count = z.int().min(0);
const digest = textOf(isDigest, 'must be a digest');
const imageId = textOf((id) => isImageId(id) || isDigest(id), 'must be an image ID or a digest');
const platform = z.strictObject({ os: text, architecture: text, variant: text.optional() });

const detail = z.union([z.string().max(8192), z.number(), z.boolean(), texts]);
type PlainError = {
  code: string;
  message: string;
  details: Record<string, z.infer<typeof detail>>;
  cause?: PlainError | undefined;
};
const error: z.ZodType<PlainError> = z.strictObject({
  code: z.string().regex(/^[A-Z_]{1,40}$/),
  message: text,
  details: z.record(z.string().max(40), detail),
  get cause() {
    return error.optional();
  },
});

/** As an outcome is written in JSON. */
const outcome = z.strictObject({
  reference: text,
  index: count.optional(),
  status: z.enum(['fetched', 'present', 'failed', 'cancelled']),
  imageID: imageId.optional(),
  name: text.optional(),
  labels: z.record(text, text).optional(),
  digest: digest.optional(),
  platforms: z.array(platform).max(1024).optional(),
  source: text.optional(),
  endpoint: text.optional(),
  bytesDownloaded: count.optional(),
  durationMs: z.number().min(0).optional(),
  signedBy: texts.optional(),
  latest: z.boolean().optional(),
  dependencies: z.array(imageId).max(65_536).optional(),
  error: error.optional(),
});

const locked = z
  .record(z.string().max(8192), lockedImageShape.transform(plainLockedImage))
  .transform((images) => Object.fromEntries(Object.entries(images).toSorted(byName)));

const resultShape = z.strictObject({
  id: batchIdShape,
  index: count.max(batchLimits.images - 1),
  worker: nameShape,
  outcome,
  nodes: z.array(outcome).max(65_536),
  pushed: text.optional(),
  locked,
  validators: z
    .array(
      z.strictObject({
        url: textOf(isPlainUrl, 'must be a URL without user, query and fragment'),
        imageID: textOf(isImageId, 'must be an image ID'),
        etag: text.optional(),
        lastModified: text.optional(),
      }),
    )
    .max(65_536)
    .optional(),
  tries: count,
  startedAtMs: timeShape,
  endedAtMs: timeShape,
});

const resultKind: DocumentKind<z.infer<typeof resultShape>> = {
  what: 'result',
  payloadType: 'application/vnd.longshore.fleet-result+json',
  maxBytes: 4 * 1024 * 1024,
  shape: resultShape,
};

/** The most characters that the envelope of a result has. */
export const resultLimit = envelopeLimit(resultKind);

/**
 * Signs a result. One that is too large, since so much depends on the image, is signed without what it depends on: that an image is done
 * must be known.
 */
export async function signResult(result: Result, key: EnvelopeKey): Promise<string> {
  const { outcome, nodes, locked, validators, ...rest } = result;
  const plain = (one: object): unknown => JSON.parse(JSON.stringify(one));
  const { index } = rest;
  const whole = {
    ...rest,
    outcome: plain({ ...outcome, index }),
    nodes: nodes.map((node) => plain({ ...node, index: undefined })),
    locked: Object.fromEntries(locked),
    ...(validators && { validators }),
  };
  try {
    return await signDocument(resultKind, whole as z.infer<typeof resultShape>, key);
  } catch (error) {
    if (!hasCode(error, 'BATCH_INVALID')) throw error;
    const small = { ...rest, outcome: smallOutcome({ ...outcome, index }), nodes: [], locked: {} };
    return await signDocument(resultKind, small as z.infer<typeof resultShape>, key);
  }
}

function smallOutcome({ reference, index, status, imageID, digest, error }: Outcome): unknown {
  const facts = { ...(index !== undefined && { index }), status, ...(imageID !== undefined && { imageID }) };
  return {
    reference: show(reference, 4096),
    ...facts,
    ...(digest !== undefined && { digest }),
    ...(error && { error: { code: error.code, message: show(error.message, 4096), details: {} } }),
  };
}

/** Where a result is kept: of all results of a batch, there is one for each image, and one for each copy of it in the store of a worker. */
export function resultField({ index, worker }: Pick<Result, 'index' | 'worker'>, isCopy: boolean): string {
  return isCopy ? `${index}/${worker}` : String(index);
}

/**
 * Opens a result of a batch.
 *
 * @param place - the id of the batch, and the field where the result is: it counts for these only. @throws BATCH_INVALID
 */
export async function openResult(
  envelope: string,
  keys: AcceptedKeys | 'anybody',
  { id, field }: { readonly id: string; readonly field: string },
): Promise<Signed<Result>> {
  const { value, keyId } = await openDocument(resultKind, envelope, keys);
  const fields = [resultField(value, false), resultField(value, true)];
  const isIts = value.outcome.index === value.index && value.nodes.every((node) => node.index === undefined);
  if (value.id !== id || !fields.includes(field) || !isIts)
    throw new ImageError('BATCH_INVALID', 'the result is in the place of another one', { why: 'content' });
  return {
    keyId,
    value: {
      ...value,
      outcome: toOutcome(value.outcome),
      nodes: value.nodes.map(toOutcome),
      locked: Object.entries(value.locked),
    },
  };
}

/** Codes and details may be those of another version of this program. */
function toOutcome({ error, ...facts }: z.infer<typeof outcome>): Outcome {
  return { ...facts, ...(error && { error: fromErrorData(error as ErrorData) }) } as Outcome;
}

/** That a worker is there, and where others may take from it what it has. */
export type Presence = {
  /** The name of the worker. */
  readonly worker: string;
  readonly atMs: number;
  /** `https://HOST:PORT`, or http on loopback: where it serves its store to other workers. */
  readonly origin?: string | undefined;
  /** The only batch that it works on. */
  readonly batch?: string | undefined;
};

const presenceKind: DocumentKind<Presence> = {
  what: 'presence of a worker',
  payloadType: 'application/vnd.longshore.fleet-presence+json',
  maxBytes: 4096,
  shape: z.strictObject({
    worker: nameShape,
    atMs: timeShape,
    origin: textOf(isOrigin, 'must be https://HOST:PORT').optional(),
    batch: nameShape.optional(),
  }),
};

function isOrigin(text: string): boolean {
  const url = text.length <= 300 && isHttpUrl(text) ? URL.parse(text) : null;
  if (url?.origin !== text) return false;
  return url.protocol === 'https:' || /^(?:127\.[\d.]+|\[::1\]|localhost)$/.test(url.hostname); // a password goes there
}

export const presenceLimit = envelopeLimit(presenceKind);

/** Clocks of two machines may differ by this much. */
const skewMs = 5 * 60_000;

export async function signPresence(presence: Presence, key: EnvelopeKey): Promise<string> {
  return await signDocument(presenceKind, presence, key);
}

/** @throws BATCH_INVALID, also for one that is old */
export async function openPresence(
  envelope: string,
  keys: AcceptedKeys | 'anybody',
  nowMs: number,
): Promise<Signed<Presence>> {
  const signed = await openDocument(presenceKind, envelope, keys);
  const { worker, atMs } = signed.value;
  const aheadMs = atMs - nowMs;
  if (Math.abs(aheadMs) <= skewMs) return signed;
  const isFuture = aheadMs > 0;
  // rounded, so that it is the same at the next look
  const message = `the clock of ${worker} is ${Math.round(Math.abs(aheadMs) / 60_000)} min ${isFuture ? 'ahead of' : 'behind'} the one here`;
  throw new ImageError('BATCH_INVALID', message, { why: isFuture ? 'future' : 'expired' });
}

/** Opens the presences of workers. @param onRefused - is told why one is not believed */
export async function openPresences(
  envelopes: readonly string[],
  keys: AcceptedKeys | 'anybody',
  nowMs: number,
  onRefused: (why: string) => void,
): Promise<readonly Presence[]> {
  const found: Presence[] = [];
  for (const envelope of envelopes) {
    try {
      found.push((await openPresence(envelope, keys, nowMs)).value);
    } catch (error) {
      if (!isImageError(error)) throw error;
      onRefused(error.message);
    }
  }
  return found;
}

/**
 * Whether a batch for everywhere is where it has to be: each worker that is there and works on it has brought each image, or has said of a
 * copy whether it has one.
 *
 * @param reported - the fields of results.
 */
export function isEverywhere(
  { name }: Pick<Batch, 'name'>,
  brought: ReadonlyMap<number, Pick<Result, 'worker'>>,
  reported: ReadonlySet<string>,
  workers: readonly Presence[],
): boolean {
  const images = [...brought];
  return workers
    .filter(({ batch }) => batch === undefined || batch === name)
    .every(({ worker }) =>
      images.every(([index, { worker: by }]) => by === worker || reported.has(resultField({ index, worker }, true))),
    );
}
