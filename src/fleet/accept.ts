import * as z from 'zod';

import { type ErrorDetails, ImageError, isImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import type { AcceptedKeys, EnvelopeKey } from '../image/sigstore/dsse.ts';
import { type Batch, batchKind } from './batch.ts';
import { batchIdShape, type DocumentKind, nameShape, openDocument, signDocument, timeShape } from './document.ts';
import type { UsedBatches } from './used-batches.ts';

/** A batch that this machine may work on. */
export type AcceptedBatch = {
  readonly batch: Batch;
  /** The key that has signed it: the same one may cancel it. */
  readonly keyId: string;
};

export type AcceptBatch = {
  /** Whose batches are accepted. */
  readonly keys: AcceptedKeys;
  readonly nowMs: number;
  /** The name under which it is in the queue. */
  readonly name: string;
  /** Of a worker: which batches have ended here. */
  readonly used?: Pick<UsedBatches, 'find'>;
};

/** Clocks of two machines may differ by this much. */
const skewMs = 5 * 60_000;
/** A queue that was lost and came back may lack its last seconds, and with them the last result of a batch. */
const againMs = 5 * 60_000;

/**
 * Opens the envelope of a batch. Who can write to the queue can choose what is there, but not what an accepted key has signed, nor when
 * or how often that counts.
 *
 * @throws BATCH_INVALID
 */
export async function acceptBatch(envelope: string, accept: AcceptBatch): Promise<AcceptedBatch> {
  const { keys, nowMs, used } = accept;
  const { value: batch, keyId } = await openDocument(batchKind, envelope, keys);
  const { name, createdAtMs, expiresAtMs } = batch;
  const refuse = (why: ErrorDetails['BATCH_INVALID']['why'], message: string) =>
    new ImageError('BATCH_INVALID', `the batch ${message}`, { why, batch: name });
  if (name !== accept.name) throw refuse('content', `${name} is in the queue under another name, ${show(accept.name)}`);
  const here = `the clock here says ${isoTime(nowMs)}`;
  if (createdAtMs > nowMs + skewMs)
    throw refuse('future', `was created in the future, at ${isoTime(createdAtMs)}: ${here}`);
  if (expiresAtMs <= nowMs) throw refuse('expired', `expired at ${isoTime(expiresAtMs)}: ${here}`);
  const before = await used?.find(batch.id);
  if (before && before.name !== name) throw refuse('used', `has the id of another one, ${before.name}`);
  if (before?.isCancelled) throw refuse('cancelled', 'was cancelled');
  if (before && before.endedAtMs + againMs < nowMs)
    throw refuse('ended', `has ended here at ${isoTime(before.endedAtMs)}`);
  return { batch, keyId };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

/** What ends a batch before it is complete. */
export type Cancellation = { readonly id: string; readonly name: string; readonly atMs: number };

export const cancellationKind: DocumentKind<Cancellation> = {
  what: 'cancellation',
  payloadType: 'application/vnd.longshore.fleet-cancellation+json',
  maxBytes: 4096,
  shape: z.strictObject({ id: batchIdShape, name: nameShape, atMs: timeShape }),
};

/** Signs the cancellation of a batch, which counts if that key has signed the batch too. */
export async function signCancellation({ id, name }: Batch, key: EnvelopeKey, nowMs: number): Promise<string> {
  return await signDocument(cancellationKind, { id, name, atMs: nowMs }, key);
}

/** Whether an envelope is the cancellation of a batch, by the key that has signed that. */
export async function isCancellationOf(
  { batch, keyId }: Pick<AcceptedBatch, 'keyId'> & { readonly batch: Pick<Batch, 'id' | 'name'> },
  envelope: string,
  keys: AcceptedKeys,
): Promise<boolean> {
  const key = keys.get(keyId);
  if (!key) return false;
  try {
    const { value } = await openDocument(cancellationKind, envelope, new Map([[keyId, key]]));
    return value.id === batch.id && value.name === batch.name;
  } catch (error) {
    if (isImageError(error)) return false; // whoever wrote it must not stop the batch
    throw error;
  }
}
