import { ImageError } from '../../src/errors.ts';
import { boundSilence } from '../decompress/bound-silence.ts';
import { createLookahead } from '../decompress/lookahead.ts';
import { decompress, sniff, sniffBytes } from '../decompress/open-archive.ts';
import { unzstd } from '../decompress/unzstd.ts';
import { threadMemory } from '../memory.ts';
import type { TarEntry } from '../tar/extensions.ts';
import { blockBytes } from '../tar/header.ts';
import { createTarReader } from '../tar/tar-reader.ts';

/** Takes the content of a file, a piece at a time. */
export type FileSink = {
  /** The piece is valid only during the call. */
  write(this: void, piece: Uint8Array): void;
  end(this: void): Promise<void>;
};

export type TarFileOptions = {
  readonly headerBytes: number;
  /** Called with each entry before its content is read; undefined passes over the content. */
  readonly onEntry: (entry: TarEntry) => Promise<FileSink | undefined>;
};

/**
 * Reads a tar to its end, and waits for what takes its files: what becomes of a file is decided before its content is read.
 *
 * @throws ARCHIVE_INVALID, LIMIT_EXCEEDED; what `chunks`, `onEntry` and the sinks throw
 * @see docs/rules.md A4 to A7
 */
export async function readTarFiles(
  chunks: AsyncIterable<Uint8Array>,
  { headerBytes, onEntry }: TarFileOptions,
): Promise<void> {
  const now: { entry?: TarEntry | undefined; sink?: FileSink | undefined; left: number } = { left: 0 };
  const reader = createTarReader(headerBytes, (entry) => {
    now.entry = entry;
    return { piece: (piece) => now.sink?.write(piece) };
  });
  let offset = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      // up to the end of the content, or else block by block, so that no content is passed on together with its header
      const piece = chunk.subarray(at, at + (now.left || blockBytes - (offset % blockBytes)));
      reader.push(piece);
      at += piece.length;
      offset += piece.length;
      now.left = Math.max(0, now.left - piece.length);
      const { entry } = now;
      if (entry) {
        now.entry = undefined;
        now.left = entry.size;
        now.sink = await onEntry(entry);
      }
      if (now.left > 0) continue;
      await now.sink?.end();
      now.sink = undefined;
    }
  }
  reader.end();
}

/**
 * The bytes of a tar, which may be compressed, as its first bytes say. Each chunk is valid until the next is requested.
 *
 * @param shown - shown in errors.
 * @throws ARCHIVE_UNREADABLE, here when it is no tar, from the chunks when it is damaged; LIMIT_EXCEEDED; what `chunks` throws
 * @see docs/rules.md I1
 */
export async function openCarriedTar(
  chunks: AsyncIterable<Uint8Array>,
  shown: string,
): Promise<AsyncIterable<Uint8Array>> {
  const input = createLookahead(chunks);
  await input.want(sniffBytes);
  const sniffed = sniff(input.held().subarray(0, sniffBytes));
  switch (sniffed.kind) {
    case 'tar':
      return input.rest();
    case 'compressed':
      return decompress(input.rest(), sniffed.compression, shown, threadMemory());
    case 'other':
      if (sniffed.name === 'zstd') return boundSilence(input.rest(), (rest) => unzstd(rest, shown, threadMemory()));
      throw new ImageError(
        'ARCHIVE_UNREADABLE',
        `not an archive of images but ${sniffed.name}; such an archive is a tar, plain or as gzip, bzip2, xz or zstd`,
        {
          path: shown,
          looksLike: sniffed.name,
        },
      );
  }
}
