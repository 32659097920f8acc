import type { IngestRequest, IngestResponse } from '../../../workers/ingest/requests.ts';
import type { Sink } from '../../http/contract.ts';
import type { Pool } from '../../pool/pool.ts';
import { type Session, type SessionRequest, startSession } from '../../pool/session.ts';
import type { Store } from '../../store/store.ts';

/** A body up to this size stays in memory: to fetch it once more costs no more than to keep track of it. */
const smallBytes = 64 * 1024;
/** From here on a session follows the download; before, it would only hold a place. */
const sessionBytes = 1024 * 1024;

/** A session whose file does not grow by so many bytes in that time ends: others are to have its place in a thread. */
const quiet = { bytes: 256 * 1024, ms: 5_000 };

/** Takes a download's bytes and has them ingested while they still arrive. */
export type ArchiveSink = Sink & {
  /** Where the whole body lies; undefined while it is in memory. */
  readonly path: string | undefined;
  /** Rejects when a running ingest has failed, which makes the rest of the download pointless; never resolves. */
  readonly failed: Promise<never>;
  /** The whole body is there: what the ingest says of it. */
  finish(): Promise<IngestResponse>;
  /** Ends a running ingest and removes what was downloaded. */
  discard(): Promise<void>;
  /** Ends a running ingest and keeps what was downloaded for a later run, if it can be resumed. */
  close(): Promise<void>;
};

type ArchiveSinkOptions = {
  readonly store: Store;
  readonly pool: Pool;
  readonly url: string;
  /** Asked for when an ingest starts: the signature may be known no earlier. */
  readonly ingest: () => Omit<IngestRequest, 'source'>;
  /** The bytes must end up in a file, however few they are. */
  readonly onDisk: boolean;
  readonly onDependencies: SessionRequest['onDependencies'];
};

/** @param signal - ends a running ingest. */
export async function openArchiveSink(
  { store, pool, url, ingest, onDisk, onDependencies }: ArchiveSinkOptions,
  signal: AbortSignal,
): Promise<ArchiveSink> {
  const partial = await store.openPartial(url);
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined); // a download that ends first never looks at it
  let small: SmallBody | undefined;
  let session: Session | undefined;
  let ending: Promise<void> | undefined;
  let isQuiet: NodeJS.Timeout | undefined;
  /** When the file was last seen to grow, and when it is large enough for a session. */
  let [grownTo, enough] = [0, sessionBytes];

  const unwatch = (): void => {
    clearTimeout(isQuiet);
    isQuiet = undefined;
  };
  const endSession = async (): Promise<void> => {
    unwatch();
    const stopping = session?.stop();
    session = undefined;
    const ended = Promise.all([ending, stopping]).then(() => {
      if (ending === ended) ending = undefined;
    });
    await (ending = ended);
  };
  /** The next one begins from the start: not before it has twice as much, or all. */
  const yieldPlace = (): void => {
    enough = 2 * partial.bytes;
    void endSession();
  };

  const start = (): Session => {
    const request = { ...ingest(), path: partial.path, ...(onDependencies && { onDependencies }) };
    const started = startSession(pool, request, partial.bytes, signal);
    started.result.catch((error: unknown) => {
      if (session === started) failed.reject(error);
    });
    grownTo = partial.bytes;
    isQuiet = setTimeout(yieldPlace, quiet.ms).unref();
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
      enough = sessionBytes;
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
      else if (partial.bytes >= enough && !ending) start();
      if (partial.bytes - grownTo < quiet.bytes) return;
      grownTo = partial.bytes;
      isQuiet?.refresh();
    },
    async finish() {
      if (small) {
        const body = small;
        const source = { kind: 'bytes', bytes: body.content() } as const;
        return pool.run('ingest', { ...ingest(), source }).finally(() => body.free());
      }
      await ending;
      const following = session ?? start();
      unwatch();
      following.complete(partial.bytes);
      return following.result;
    },
    async discard() {
      await endSession();
      await partial.discard();
    },
    async close() {
      await endSession();
      await (partial.bytes > 0 && partial.validator ? partial.close() : partial.discard());
    },
  };
}

/** A body that stays in memory. */
type SmallBody = {
  readonly bytes: number;
  append(chunks: readonly Uint8Array[]): void;
  /** What was appended; valid until free(). */
  content(): Uint8Array;
  /** Gives the memory back at once: left to the garbage collector, thousands of bodies pile up until it runs. */
  free(): void;
};

/**
 * Copies what comes: a chunk is a slice of one of the network's buffers, many times its size, which it would keep alive.
 *
 * @param total - bytes of the whole body.
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
