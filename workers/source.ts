import { followGrowth } from './growth.ts';
import type { Arrival } from './memory.ts';
import { openFile, openNamedFile, readChunks } from './read-file.ts';
import type { ArchiveSource } from './tasks.ts';

/** The bytes of an archive, from the first to the last. */
export type Source = AsyncDisposable & {
  /** Each chunk is valid until the next one is asked for. @throws FILE_UNREADABLE, CANCELLED */
  chunks(): AsyncIterable<Uint8Array>;
  /** @throws CANCELLED once the session has been told to stop */
  check(): void;
  /** Of what may still be coming. */
  readonly arrival?: Arrival;
};

/**
 * @param shown - in errors, in place of a path.
 * @throws FILE_NOT_FOUND, FILE_UNREADABLE
 */
export async function openSource(source: ArchiveSource, shown: string): Promise<Source> {
  switch (source.kind) {
    case 'bytes':
      return {
        chunks: () => whole(source.bytes),
        check: () => undefined,
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
    case 'file': {
      const file = await openNamedFile(source.path, shown);
      return {
        chunks: () => readChunks(file, shown),
        check: () => undefined,
        [Symbol.asyncDispose]: () => file.close(),
      };
    }
    case 'growing': {
      const growth = followGrowth(source.bytes, source.port); // before anything is awaited: a port closes but once
      const file = await openFile(source.path, shown);
      return {
        chunks: () => readChunks(file, shown, async (known) => (await growth.beyond(known)).bytes),
        check: () => growth.check(),
        arrival: growth,
        async [Symbol.asyncDispose]() {
          growth.close();
          await file.close();
        },
      };
    }
  }
}

async function* whole(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}
