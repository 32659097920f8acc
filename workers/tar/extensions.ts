import type { EntryKind, ExtensionKind, Header } from './header.ts';
import { parseGlobalPax, parsePax, type PaxAttributes, type PaxRecords } from './pax.ts';
import { invalid, overLimit } from './refuse.ts';
import type { Body } from './tar-frames.ts';
import type { TarEntry } from './tar-reader.ts';

export type Extensions = {
  /** An extension header: its body is kept for the entry behind it. */
  read(header: Header, kind: ExtensionKind): Body;
  /** The entry that a header means, with what was kept for it, which is then forgotten. */
  apply(header: Header, kind: EntryKind): TarEntry;
  /** True while an entry is owed. */
  pending(): boolean;
};

type Kept = { readonly pax?: PaxRecords; readonly name?: string; readonly link?: string };

/** The largest size that eleven octal digits hold. */
const octalMaximum = 0o77777777777;

/**
 * Pax headers and GNU long names. Repeated or mixed ones are refused: readers differ in which of them counts.
 *
 * @param headerBytes - the most that one of them may hold.
 * @see docs/rules.md A3, A5, A6
 */
export function createExtensions(headerBytes: number): Extensions {
  let kept: Kept = {};
  let globals: PaxAttributes = {};

  return {
    read(header, kind) {
      if (!isAlone(kind, kept)) throw invalid('A6', 'extension headers that readers combine differently', header);
      const { size } = header;
      if (size > headerBytes)
        throw overLimit('header', headerBytes, `an extension header of ${size} bytes in the archive`);
      const pieces: Buffer[] = [];
      return {
        size,
        piece: (piece) => pieces.push(Buffer.from(piece)),
        done: () => {
          const bytes = Buffer.concat(pieces);
          if (kind === 'pax-global') globals = { ...globals, ...parseGlobalPax(bytes, header) };
          else kept = { ...kept, ...parseExtension(kind, bytes, header) };
        },
      };
    },
    apply(header, kind) {
      const { pax = {}, name, link } = kept;
      kept = {};
      const path = pax.path ?? name ?? header.path;
      const size = readSize(header, pax, path);
      if (kind !== 'file' && kind !== 'directory' && size !== 0) {
        throw invalid('A5', `a ${kind} with a size`, { path, offset: header.offset });
      }
      const linkPath = pax.linkPath ?? link ?? header.linkPath;
      const { uid, gid, mtime, mtimeText } = { ...header.attributes, ...globals, ...pax };
      const attributes = { ...header.attributes, uid, gid, mtime, ...(mtimeText !== undefined && { mtimeText }) };
      const xattrs = pax.xattrs && { xattrs: pax.xattrs };
      return { kind, path, linkPath, size: kind === 'file' ? size : 0, attributes, offset: header.offset, ...xattrs };
    },
    pending: () => Object.keys(kept).length > 0,
  };
}

function isAlone(kind: ExtensionKind, { pax, name, link }: Kept): boolean {
  switch (kind) {
    case 'pax':
    case 'pax-global':
      return (pax ?? name ?? link) === undefined;
    case 'gnu-name':
      return (pax ?? name) === undefined;
    case 'gnu-link':
      return (pax ?? link) === undefined;
  }
}

function parseExtension(kind: Exclude<ExtensionKind, 'pax-global'>, bytes: Buffer, header: Header): Kept {
  switch (kind) {
    case 'pax':
      return { pax: parsePax(bytes, header) };
    case 'gnu-name':
      return { name: parseLongText(bytes, header) };
    case 'gnu-link':
      return { link: parseLongText(bytes, header) };
  }
}

/** A GNU long name ends at its NULs. */
function parseLongText(bytes: Buffer, header: Header): string {
  const text = bytes.toString('latin1');
  const end = text.indexOf('\0');
  if (end === 0 || text === '') throw invalid('A6', 'an empty GNU long name', header);
  if (end !== -1 && /[^\0]/.test(text.slice(end))) throw invalid('A10', 'a path with a NUL in it', header);
  return end === -1 ? text : text.slice(0, end);
}

/** A pax size repeats the header's, unless the header has no room for it. */
function readSize(header: Header, pax: PaxRecords, path: string): number {
  const size = pax.size ?? header.size;
  const hasRoom = size <= octalMaximum || header.size > octalMaximum;
  if (!Number.isSafeInteger(size) || (size !== header.size && hasRoom)) {
    throw invalid('A6', 'a pax size that is not the size in the header', { path, offset: header.offset });
  }
  return size;
}
