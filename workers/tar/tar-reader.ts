import { createExtensions, type TarEntry } from './extensions.ts';
import { type EntryKind, type Header, parseHeader } from './header.ts';
import { invalid } from './refuse.ts';
import { createTarFrames, type EntryBody, type TarForm, type TarFrames } from './tar-frames.ts';

/** Returns the consumer of an entry's content; undefined skips the content. */
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
  const extensions = createExtensions(headerBytes);
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
        return { size: entry.size, ...onEntry(entry) };
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
