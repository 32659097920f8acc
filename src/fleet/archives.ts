import { createHash } from 'node:crypto';

import type { Redis } from 'ioredis';
import * as z from 'zod';

import { isImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import type { AcceptedKeys, EnvelopeKey } from '../image/sigstore/dsse.ts';
import type { LockedImage } from '../internal.ts';
import { isPlainUrl, lockedImageShape, plainLockedImage, textOf } from '../locked-image.ts';
import { debugLog } from '../system/debug.ts';
import type { Batch } from './batch.ts';
import { batchIdShape, type DocumentKind, envelopeLimit, nameShape, openDocument, signDocument } from './document.ts';
import { keyPrefix } from './ledger.ts';

const debug = debugLog('fleet');

/** An archive that a worker has brought and kept. What depends on it, and its result, may come much later. */
type Archive = {
  /** The id of the batch. */
  readonly id: string;
  /** The name of the worker. */
  readonly worker: string;
  readonly url: string;
  /** What the URL gave. */
  readonly image: LockedImage;
};

const archiveKind: DocumentKind<Archive> = {
  what: 'archive of a worker',
  payloadType: 'application/vnd.longshore.fleet-archive+json',
  maxBytes: 64 * 1024,
  shape: z.strictObject({
    id: batchIdShape,
    worker: nameShape,
    url: textOf(isPlainUrl, 'must be a URL without user, query and fragment'),
    image: lockedImageShape.transform(plainLockedImage),
  }),
};

const limit = envelopeLimit(archiveKind);

/** Which archives the workers of a batch for everywhere have brought, by URL: several of its images may depend on one. */
export type Archives = {
  /** Says what a URL has given to this worker. @returns whether others are told: of a URL with a query they are not */
  note(this: void, batch: ArchiveBatch, url: string, image: LockedImage): Promise<boolean>;
  /** What a URL has given to another worker, if a named one has signed that. */
  at(this: void, batch: ArchiveBatch, url: string): Promise<Archive | undefined>;
  /** Removes what Redis has of them, when the batch has ended. */
  remove(this: void, batch: ArchiveBatch): Promise<void>;
};

type ArchiveBatch = Pick<Batch, 'id' | 'expiresAtMs'>;

/** @param keys - those of the workers that are believed. */
export function openArchives({
  redis,
  worker,
  key,
  keys,
  nowMs,
}: {
  readonly redis: Redis;
  readonly worker: string;
  readonly key: EnvelopeKey;
  readonly keys: AcceptedKeys;
  readonly nowMs: () => number;
}): Archives {
  const place = ({ id }: ArchiveBatch): string => `${keyPrefix}:fleet:archives:${id}`;
  const fieldOf = (url: string): string => createHash('sha256').update(url).digest('hex');
  return {
    async note(batch, url, image) {
      if (!isPlainUrl(url)) return false; // a query may be a secret
      const envelope = await signDocument(archiveKind, { id: batch.id, worker, url, image }, key);
      const lifeMs = Math.max(1, batch.expiresAtMs - nowMs());
      const answers = await redis
        .multi()
        .hset(place(batch), fieldOf(url), envelope)
        .pexpire(place(batch), lifeMs)
        .exec()
        .catch(() => null);
      return answers?.every(([error]) => error === null) ?? false;
    },
    async at(batch, url) {
      const field = fieldOf(url);
      const size = await redis.hstrlen(place(batch), field).catch(() => 0);
      if (size === 0 || size > limit) return undefined;
      const envelope = await redis.hget(place(batch), field).catch(() => null);
      try {
        const { value } = await openDocument(archiveKind, envelope ?? '', keys);
        return value.id === batch.id && value.url === url && value.worker !== worker ? value : undefined;
      } catch (error) {
        if (!isImageError(error)) throw error;
        debug(() => `what is said of ${show(url)} does not count: ${error.message}`);
        return undefined;
      }
    },
    remove: async (batch) => void (await redis.unlink(place(batch))),
  };
}
