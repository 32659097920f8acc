import { createExtensions, parseSparseMap, type TarEntry } from './extensions.ts';
import { blockBytes, type EntryKind, type Header, parseHeader } from './header.ts';
import { invalid, overLimit } from './refuse.ts';
import { createTarFrames, type EntryBody, type TarForm, type TarFrames } from './tar-frames.ts';

/** Returns the consumer of an entry's content; undefined skips the content. That of a sparse file is skipped always. */
export type OnEntry = (entry: TarEntry) => Omit<EntryBody, 'size'> | undefined;

/**
 * Reads a tar strictly: everything that readers interpret differently is refused. Contents are not copied. At most the
 * extension headers of one entry are kept.
 *
 * @param headerBytes - the most bytes of one pax or GNU long-name header.
 * @returns a reader whose calls throw ARCHIVE_INVALID and LIMIT_EXCEEDED, and what `onEntry` throws.
 * @see docs/rules.md A3 to A7, R8
 */
export function createTarReader(headerBytes: number, onEntry: OnEntry, form: TarForm = { isLayer: false }): TarFrames {
  const extensions = createExtensions(headerBytes, form);
  /** In a layer, a path that ends with a slash is a directory, as for Go. */
  const readEntry = (header: Header, kind: EntryKind): TarEntry => {
    const entry = extensions.apply(header, kind);
    if (!form.isLayer || !header.isOldFile || !entry.path.endsWith('/')) return entry;
    return { ...entry, kind: 'directory', size: 0 };
  };
  let isRecognised = false;
  const frames = createTarFrames((block, offset) => {
    const header = parseHeader(block, offset);
    if (!isRecognised && !form.isLayer && header.format === 'v7')
      throw invalid('A1', 'a tar without the ustar magic', header);
    isRecognised = true;
    switch (header.kind) {
      case 'pax':
      case 'pax-global':
      case 'gnu-name':
      case 'gnu-link':
        return extensions.read(header, header.kind);
      case 'file':
      case 'hard-link':
      case 'symlink':
      case 'character-device':
      case 'block-device':
      case 'directory':
      case 'fifo': {
        const entry = readEntry(header, header.kind);
        return entry.sparse ? readSparse(entry, headerBytes, onEntry) : { size: entry.size, ...onEntry(entry) };
      }
    }
  }, form);
  return {
    push: (chunk) => frames.push(chunk),
    end() {
      frames.end();
      if (extensions.pending()) throw invalid('A6', 'an extension header without an entry behind it');
    },
  };
}

/** Calls `onEntry` when the map of a sparse file is known, which may be at the start of its content. */
function readSparse(entry: TarEntry, headerBytes: number, onEntry: OnEntry): EntryBody {
  const { size, sparse } = entry;
  const kept: Buffer[] = [];
  let left = sparse?.map ? 0 : Math.min(size, headerBytes);
  return {
    size,
    piece(piece) {
      if (left === 0) return;
      kept.push(Buffer.from(piece.subarray(0, left)));
      left -= Math.min(left, piece.length);
    },
    done() {
      const whole = sparse?.map ? sparse : readMap(entry, Buffer.concat(kept).toString('latin1'), headerBytes);
      const pieces = (whole.map ?? []).reduce((sum, number, at) => (at % 2 === 1 ? sum + number : sum), 0);
      if (whole.start + pieces !== size)
        throw invalid('A6', 'a sparse file whose map is not that of its content', entry);
      onEntry({ ...entry, sparse: whole });
    },
  };
}

/** The number of pieces, then offset and length of each, a line each. The pieces begin in the next block. */
function readMap(entry: TarEntry, text: string, headerBytes: number): NonNullable<TarEntry['sparse']> {
  const count = /^[0-9]{1,7}(?=\n)/.exec(text)?.[0];
  const lines = text.split('\n', 2 + 2 * Number(count ?? 0));
  if (count === undefined || lines.length < 2 + 2 * Number(count)) {
    if (entry.size > headerBytes) throw overLimit('header', headerBytes, 'a long map of a sparse file');
    throw invalid('A6', 'a sparse file without its map', entry);
  }
  const numbers = lines.slice(1, -1);
  const bytes = lines.slice(0, -1).join('\n').length + 1;
  const size = entry.sparse?.size ?? 0;
  return { size, map: parseSparseMap(numbers, size, entry), start: Math.ceil(bytes / blockBytes) * blockBytes };
}
