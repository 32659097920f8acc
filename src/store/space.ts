import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';

/** The room that a store has, and what downloads that are under way have reserved of it. */
export type Space = {
  /**
   * Reserves room for parts that are to be downloaded, all or none, until it is disposed of. A part that is reserved several times
   * counts once.
   *
   * @param parts - the bytes by key, an exact URL or a digest.
   * @throws STORE_FULL
   */
  reserve(parts: ReadonlyMap<string, number>): Promise<Disposable>;
  /** Says how many bytes of a part are still to be written: the disk shows the others. */
  remains(key: string, bytes: number): void;
};

export type SpaceOptions = {
  /** Of the store, for errors. */
  readonly path: string;
  /** The bytes that are free. */
  readonly measure: () => Promise<number>;
  /** The bytes of a part that an earlier download has left. */
  readonly storedOf: (key: string) => Promise<number>;
  /** Milliseconds on a clock that never goes back. */
  readonly nowMs: () => number;
};

/** What downloads leave free: the index and its log grow with what comes. */
export const indexBytes = 1024 * 1024;

/** The disk is asked again after this time, or when so much has been reserved since. */
const measuredForMs = 100;
const measuredForBytes = 64 * 1024 * 1024;

type Reserved = { remaining: number; holders: number };

export function createSpace({ path, measure, storedOf, nowMs }: SpaceOptions): Space {
  const reserved = new Map<string, Reserved>();
  /** What was refused since the last reservation. */
  const refused = new Map<string, number>();
  let outstanding = 0;
  let free = 0;
  let measuredAtMs = -Infinity;
  let [reservedSince, writtenSince] = [0, 0];
  let measuring: Promise<void> | undefined;

  const measureNow = async (): Promise<void> => {
    const atMs = nowMs();
    [reservedSince, writtenSince] = [0, 0]; // what is written meanwhile may count twice, but is not missed
    free = await measure();
    measuredAtMs = atMs;
  };
  const refresh = (): Promise<void> => (measuring ??= measureNow().finally(() => void (measuring = undefined)));
  const isStale = (): boolean => nowMs() - measuredAtMs > measuredForMs || reservedSince > measuredForBytes;
  const available = (): number => free - writtenSince - outstanding - indexBytes;

  const neededFor = (parts: ReadonlyMap<string, number>): number =>
    parts.entries().reduce((sum, [key, bytes]) => (reserved.has(key) ? sum : sum + bytes), 0);

  const hold = (parts: ReadonlyMap<string, number>): Disposable => {
    for (const [key, bytes] of parts) {
      const known = reserved.get(key);
      if (known) known.holders += 1;
      else {
        reserved.set(key, { remaining: bytes, holders: 1 });
        outstanding += bytes;
        reservedSince += bytes;
      }
    }
    refused.clear();
    const keys = [...parts.keys()];
    return {
      [Symbol.dispose]() {
        keys.splice(0).forEach(release);
      },
    };
  };
  const release = (key: string): void => {
    const known = reserved.get(key);
    if (!known) return;
    known.holders -= 1;
    if (known.holders > 0) return;
    outstanding -= known.remaining;
    reserved.delete(key);
  };

  const withoutStored = async (parts: ReadonlyMap<string, number>): Promise<ReadonlyMap<string, number>> => {
    const rest = new Map<string, number>();
    for (const [key, bytes] of parts) rest.set(key, Math.max(0, bytes - (await storedOf(key))));
    return rest;
  };

  const refuse = (parts: ReadonlyMap<string, number>): ImageError => {
    for (const [key, bytes] of parts) if (!reserved.has(key)) refused.set(key, bytes);
    const needed = refused.values().reduce((sum, bytes) => sum + bytes, 0);
    const details = { path, free: Math.max(0, available()), needed };
    const message = `no room for its ${neededFor(parts)} bytes: the disk of ${show(path, 1024)} has ${details.free} bytes that no other download needs`;
    return new ImageError('STORE_FULL', message, details);
  };

  return {
    async reserve(asked) {
      if (isStale()) await refresh();
      if (neededFor(asked) <= available()) return hold(asked);
      await refresh();
      const parts = await withoutStored(asked);
      if (neededFor(parts) > available()) throw refuse(parts);
      return hold(parts);
    },
    remains(key, bytes) {
      const known = reserved.get(key);
      if (!known) return;
      const written = known.remaining - bytes;
      outstanding -= written;
      writtenSince += Math.max(0, written);
      known.remaining = bytes;
    },
  };
}
