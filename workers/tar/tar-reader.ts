import { createExtensions, type ExtendedAttributes } from './extensions.ts';
import { parseHeader, type Attributes, type EntryKind, type Header } from './header.ts';
import { invalid } from './refuse.ts';
import { createTarFrames, type EntryBody, type TarForm, type TarFrames } from './tar-frames.ts';

/** One entry, extensions applied. Paths are latin1 text, one character a byte, as the archive has them. */
export type TarEntry = {
  readonly kind: EntryKind;
  readonly path: string;
  readonly linkPath: string;
  /** Bytes of content that follow; only files have any. */
  readonly size: number;
  readonly attributes: Attributes;
  readonly xattrs?: ExtendedAttributes;
  /** Of the entry's own header in the tar. */
  readonly offset: number;
};

/** Says who takes the content of an entry; nobody when it returns undefined. */
export type OnEntry = (entry: TarEntry) => Omit<EntryBody, 'size'> | undefined;

/**
 * Reads a tar strictly: what two readers could understand differently is refused. Never copies contents, and holds at
 * most the extension headers of one entry.
 *
 * @param headerBytes - the most that one pax or GNU long-name header may hold.
 * @returns a reader whose calls throw ARCHIVE_INVALID and LIMIT_EXCEEDED, and what `onEntry` throws.
 * @see docs/rules.md A3 to A7, R8
 */
export function createTarReader(headerBytes: number, onEntry: OnEntry, form: TarForm = { isLayer: false }): TarFrames {
  const extensions = createExtensions(headerBytes);
  /** In a layer a path with a slash at its end is read as by Go. */
  const readEntry = (header: Header, kind: EntryKind): TarEntry => {
    const entry = extensions.apply(header, kind);
    if (!form.isLayer || !header.isOldFile || !entry.path.endsWith('/')) return entry;
    return { ...entry, kind: 'directory', size: 0 };
  };
  let isRecognised = false;
  const frames = createTarFrames((block, offset) => {
    const header = parseHeader(block, offset);
    if (!isRecognised && header.format === 'v7') throw invalid('A1', 'a tar without the ustar magic', header);
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
