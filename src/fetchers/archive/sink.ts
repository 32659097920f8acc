import type { IngestRequest } from '../../../workers/ingest/requests.ts';
import type { Sink } from '../../http/contract.ts';
import type { Pool } from '../../pool/pool.ts';
import { type Session, type SessionRequest, startSession } from '../../pool/session.ts';
import type { Store } from '../../store/store.ts';
import { inStore } from '../../store/store-error.ts';
import { stampFile } from '../../system/files.ts';
import { syncFile } from '../../system/write-files.ts';
import { type Ingested, withCopy } from './admit.ts';

/** A body up to this size stays in memory: downloading it again costs no more than a partial file. */
const smallBytes = 64 * 1024;
/** A session starts when the file has this size; before, it would only occupy a thread. */
const sessionBytes = 1024 * 1024;

/** A session ends if its file does not grow by `bytes` within `ms`, so that others can use its thread. */
const quietLimit = { bytes: 256 * 1024, ms: 5_000 };

/** Receives the bytes of a download and has them ingested while they arrive. */
export type ArchiveSink = Sink & {
  /** The path of the body; undefined if it is in memory. */
  readonly path: string | undefined;
  /** Rejects when a running ingest fails: the rest of the download is then useless. Never resolves. */
  readonly failed: Promise<never>;
  /** Called when the whole body has arrived. */
  finish(): Promise<Ingested>;
  /** Ends a running ingest and removes the downloaded bytes. */
  discard(): Promise<void>;
  /** Ends a running ingest and keeps the downloaded bytes for a later run, if they can be resumed. */
  close(): Promise<void>;
};

type ArchiveSinkOptions = {
  readonly store: Store;
  readonly pool: Pool;
  readonly url: string;
  /** Called when an ingest starts, since the signature may not be known earlier. */
  readonly ingest: () => Omit<IngestRequest, 'source'>;
  /** For a small body: what its signature is verified with in the same task. */
  readonly verify: () => Promise<IngestRequest['verify']>;
  /** The body must be in a file, also if it is small. */
  readonly onDisk: boolean;
  /** The digest of the body is known in advance: what has come is kept for the next run without a validator, too. */
  readonly immutable: boolean;
  /** A name for the file of a small body, if the store is to keep the archive: that of a large one is there already. */
  readonly archive: string | undefined;
  readonly onDependencies: SessionRequest['onDependencies'];
};

/** @param signal - ends a running ingest. */
export async function openArchiveSink(
  { store, pool, url, ingest, verify, onDisk, immutable, archive, onDependencies }: ArchiveSinkOptions,
  signal: AbortSignal,
): Promise<ArchiveSink> {
  const partial = await store.openPartial(url);
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined); // no unhandled rejection if the download has ended before
  let small: SmallBody | undefined;
  let session: Session | undefined;
  let ending: Promise<void> | undefined;
  let quietTimer: NodeJS.Timeout | undefined;
  /** The size of the file at the last growth, and the size at which the next session starts. */
  let [grownTo, nextSessionBytes] = [0, sessionBytes];

  const stopWatching = (): void => {
    clearTimeout(quietTimer);
    quietTimer = undefined;
  };
  const endSession = async (): Promise<void> => {
    stopWatching();
    const stopping = session?.stop();
    session = undefined;
    const ended = Promise.all([ending, stopping]).then(() => {
      if (ending === ended) ending = undefined;
    });
    await (ending = ended);
  };
  /** Ends the session. The next one reads from the start again, so it begins only when the file has doubled or is complete. */
  const yieldThread = (): void => {
    nextSessionBytes = 2 * partial.bytes;
    void endSession();
  };

  const start = (): Session => {
    const request = { ...ingest(), path: partial.path, ...(onDependencies && { onDependencies }) };
    const started = startSession(pool, request, partial.bytes, signal);
    started.result.catch((error: unknown) => {
      if (session === started) failed.reject(error);
    });
    grownTo = partial.bytes;
    quietTimer = setTimeout(yieldThread, quietLimit.ms).unref();
    return (session = started);
  };

  return {
    failed: failed.promise,
    get bytes() {
      return small?.bytes ?? partial.bytes;
    },
    get validator() {
      return small ? undefined : partial.validator;
    },
    get total() {
      return small ? undefined : partial.total;
    },
    get path() {
      return small ? undefined : partial.path;
    },

    async restart(about) {
      await endSession();
      nextSessionBytes = sessionBytes;
      const { total } = about;
      small = !onDisk && total !== undefined && total <= smallBytes ? createSmallBody(total) : undefined;
      if (!small) await partial.restart(about);
      else if (partial.bytes > 0) await partial.discard();
    },
    async append(chunks) {
      if (small) {
        small.append(chunks);
        return;
      }
      await partial.append(chunks);
      if (session) session.grown(partial.bytes);
      else if (partial.bytes >= nextSessionBytes && !ending) start();
      if (partial.bytes - grownTo < quietLimit.bytes) return;
      grownTo = partial.bytes;
      quietTimer?.refresh();
    },
    async finish() {
      if (small) {
        const body = small;
        const source = { kind: 'bytes', bytes: body.content() } as const;
        const trust = await verify();
        const wanted = { ...(trust && { verify: trust }), ...(archive !== undefined && { archive }) };
        const ingested = await pool.run('ingest', { ...ingest(), ...wanted, source }).finally(() => body.free());
        return withCopy(ingested, archive);
      }
      await ending;
      const following = session ?? start();
      stopWatching();
      const { path } = partial;
      const before = archive === undefined ? undefined : stampFile(path); // if the file changes from now on, it does not match
      following.complete(partial.bytes);
      if (!before) return following.result;
      const [ingested] = await Promise.all([following.result, inStore(path, () => syncFile(path))]);
      return { ...ingested, archive: { path, stamp: before.stamp } };
    },
    async discard() {
      await endSession();
      await partial.discard();
    },
    async close() {
      await endSession();
      const isOfUse = partial.bytes > 0 && (immutable || partial.validator);
      await (isOfUse ? partial.close() : partial.discard());
    },
  };
}

/** A body that stays in memory. */
type SmallBody = {
  readonly bytes: number;
  append(chunks: readonly Uint8Array[]): void;
  /** The bytes so far; valid until free(). */
  content(): Uint8Array;
  /** Frees the memory at once: the garbage collector would run only after thousands of bodies. */
  free(): void;
};

/**
 * Chunks are copied: each is a slice of a much larger read buffer, which would stay in memory.
 *
 * @param total - the size of the whole body in bytes.
 */
export function createSmallBody(total: number): SmallBody {
  const whole = new Uint8Array(total);
  let bytes = 0;
  return {
    get bytes() {
      return bytes;
    },
    append(chunks) {
      for (const chunk of chunks) {
        whole.set(chunk, bytes);
        bytes += chunk.byteLength;
      }
    },
    content: () => whole.subarray(0, bytes),
    free() {
      whole.buffer.transfer(0);
    },
  };
}
