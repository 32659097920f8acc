import { type Attributes, type EntryKind, type ExtensionKind, type Header, sparse } from './header.ts';
import { invalid, overLimit, type Suspect } from './refuse.ts';
import type { EntryBody, TarForm } from './tar-frames.ts';

/**
 * One entry, with its extensions applied. Paths are latin1 text with one character for each byte, as in the archive.
 */
export type TarEntry = {
  readonly kind: EntryKind;
  readonly path: string;
  readonly linkPath: string;
  /** Bytes of content; only files have any. */
  readonly size: number;
  readonly sparse?: Sparse;
  readonly attributes: Attributes;
  readonly xattrs?: ExtendedAttributes;
  /** The position of the entry's own header in the tar. */
  readonly offset: number;
};

/** A file with holes, as GNU tar and libarchive write it with a pax header: only its pieces are in the content. */
export type Sparse = {
  /** Bytes of the file, with its holes. */
  readonly size: number;
  /** Offset in the file and length of each piece, in turns. Undefined while it is not read: the content begins with it. */
  readonly map: readonly number[] | undefined;
  /** Bytes of content before the pieces. */
  readonly start: number;
};

type Extensions = {
  /** Reads an extension header: its body is kept for the entry that follows. */
  read(header: Header, kind: ExtensionKind): EntryBody;
  /** Combines a header with the extensions kept for it, which are then cleared. */
  apply(header: Header, kind: EntryKind): TarEntry;
  /** True while an extension waits for its entry. */
  pending(): boolean;
};

type Kept = { readonly pax?: PaxRecords; readonly name?: string; readonly link?: string };

/** The largest size in eleven octal digits. */
const octalMaximum = 0o77777777777;

/**
 * Handles pax headers and GNU long names. Repeated or mixed ones for one entry are refused, since readers differ in
 * which of them counts.
 *
 * @param headerBytes - the most bytes of one header.
 * @see docs/rules.md A3, A5, A6, R8
 */
export function createExtensions(headerBytes: number, { isLayer }: TarForm): Extensions {
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
          else kept = { ...kept, ...parseExtension(kind, bytes, header, isLayer) };
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
      if (pax.sparse && kind !== 'file') throw invalid('A12', sparse, { path, offset: header.offset });
      const linkPath = pax.linkPath ?? link ?? header.linkPath;
      const { uid, gid, mtime, mtimeText } = { ...header.attributes, ...globals, ...pax };
      const attributes = { ...header.attributes, uid, gid, mtime, ...(mtimeText !== undefined && { mtimeText }) };
      const more = { ...(pax.sparse && { sparse: pax.sparse }), ...(pax.xattrs && { xattrs: pax.xattrs }) };
      return { kind, path, linkPath, size: kind === 'file' ? size : 0, attributes, offset: header.offset, ...more };
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

function parseExtension(
  kind: Exclude<ExtensionKind, 'pax-global'>,
  bytes: Buffer,
  header: Header,
  takesSparse: boolean,
): Kept {
  switch (kind) {
    case 'pax':
      return { pax: parsePax(bytes, header, takesSparse) };
    case 'gnu-name':
      return { name: parseLongText(bytes, header) };
    case 'gnu-link':
      return { link: parseLongText(bytes, header) };
  }
}

/** A GNU long name ends at its first NUL. */
function parseLongText(bytes: Buffer, header: Header): string {
  const text = bytes.toString('latin1');
  const end = text.indexOf('\0');
  if (end === 0 || text === '') throw invalid('A6', 'an empty GNU long name', header);
  if (end !== -1 && /[^\0]/.test(text.slice(end))) throw invalid('A10', 'a path with a NUL in it', header);
  return end === -1 ? text : text.slice(0, end);
}

/** A pax size must equal that of the header, unless the header field is too small for it. */
function readSize(header: Header, pax: PaxRecords, path: string): number {
  const size = pax.size ?? header.size;
  const hasRoom = size <= octalMaximum || header.size > octalMaximum;
  if (!Number.isSafeInteger(size) || (size !== header.size && hasRoom)) {
    throw invalid('A6', 'a pax size that is not the size in the header', { path, offset: header.offset });
  }
  return size;
}

/** The properties that a pax header sets for the entry that follows. Paths are latin1 text. */
type PaxRecords = PaxAttributes & {
  readonly path?: string;
  readonly linkPath?: string;
  readonly size?: number;
  readonly sparse?: Sparse;
  readonly xattrs?: ExtendedAttributes;
};

/** The properties that a global pax header may set, too. */
type PaxAttributes = Partial<Pick<Attributes, 'uid' | 'gid' | 'mtime' | 'mtimeText'>>;

/** Values by name. Both are latin1 text. */
export type ExtendedAttributes = ReadonlyMap<string, string>;

const whole = /^-?[0-9]+$/;
const seconds = /^-?[0-9]+(\.[0-9]*)?$/;
const numeric: ReadonlyMap<string, RegExp> = new Map([
  ['size', /^[0-9]+$/],
  ['uid', whole],
  ['gid', whole],
  ['mtime', seconds],
  ['atime', seconds],
  ['ctime', seconds],
]);
/** Some readers treat these as text that ends at a NUL. */
const texts: ReadonlySet<string> = new Set(['path', 'linkpath', 'uname', 'gname', 'GNU.sparse.name']);
const decisive: ReadonlySet<string> = new Set(['path', 'linkpath', 'size']);

/**
 * Parses the records of a pax header, which have the form `<length> <key>=<value>\n`. An empty value leaves the value
 * of the header.
 *
 * @throws ARCHIVE_INVALID
 * @see docs/rules.md A6, A12, R8; POSIX.1-2017 pax, Extended Header
 */
function parsePax(bytes: Buffer, suspect: Suspect, takesSparse: boolean): PaxRecords {
  const values = new Map<string, string>();
  const pieces: string[] = [];
  for (const [key, value] of paxRecords(bytes, suspect)) {
    if (key.startsWith(sparsePrefix) && !takesSparse) throw invalid('A12', sparse, suspect);
    const isNext = key === sparsePiece[pieces.length % 2];
    if (sparsePiece.includes(key) && !isNext) throw malformed(suspect);
    if (isNext) pieces.push(value);
    const isDecisive = decisive.has(key) || (key.startsWith(sparsePrefix) && !isNext);
    if (isDecisive && values.has(key)) throw invalid('A6', `a pax header that states its ${key} twice`, suspect);
    values.set(key, value);
  }
  const path = values.get('GNU.sparse.name') || values.get('path');
  const linkPath = values.get('linkpath');
  const [size, uid, gid, mtime] = ['size', 'uid', 'gid', 'mtime'].map((key) => values.get(key));
  return {
    ...(path && { path }),
    ...(linkPath && { linkPath }),
    ...(size && { size: Number(size) }),
    ...(uid && { uid: Number(uid) }),
    ...(gid && { gid: Number(gid) }),
    ...(mtime && { mtime: Number(mtime), mtimeText: mtime }),
    ...readSparse(values, pieces, suspect),
    ...readXattrs(values),
  };
}

const sparsePrefix = 'GNU.sparse.';
/** In version 0.0 each piece has records of its own. */
const sparsePiece: readonly string[] = ['GNU.sparse.offset', 'GNU.sparse.numbytes'];

/** @see GNU tar manual, Storing Sparse Files */
function readSparse(
  values: ReadonlyMap<string, string>,
  pieces: readonly string[],
  suspect: Suspect,
): Pick<PaxRecords, 'sparse'> {
  if (!Array.from(values.keys()).some((key) => key.startsWith(sparsePrefix))) return {};
  const of = (key: string): string => values.get(sparsePrefix + key) ?? '';
  const version = `${of('major')}.${of('minor')}`;
  if (!['1.0', '0.1', '0.0', '.'].includes(version)) throw invalid('A12', 'a sparse file of another version', suspect);
  const size = readWhole(of('realsize') || of('size'), suspect);
  if (version === '1.0') return { sparse: { size, map: undefined, start: 0 } };
  const numbers = of('map') ? of('map').split(',') : pieces;
  if (numbers.length !== 2 * readWhole(of('numblocks'), suspect)) throw malformed(suspect);
  return { sparse: { size, map: parseSparseMap(numbers, size, suspect), start: 0 } };
}

/** @throws ARCHIVE_INVALID unless the pieces come one after the other, and end within the file. */
export function parseSparseMap(numbers: readonly string[], size: number, suspect: Suspect): readonly number[] {
  const map = numbers.map((text) => readWhole(text, suspect));
  let end = 0;
  for (let at = 0; at < map.length; at += 2) {
    const [offset = 0, bytes = 0] = map.slice(at, at + 2);
    if (offset < end || offset + bytes > size) throw malformed(suspect);
    end = offset + bytes;
  }
  return map;
}

function readWhole(text: string, suspect: Suspect): number {
  const number = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw malformed(suspect);
  return number;
}

const starXattr = 'SCHILY.xattr.';
const libarchiveXattr = 'LIBARCHIVE.xattr.';

/**
 * Reads extended attributes in the form of star and most other programs, and in that of libarchive, which encodes the
 * name as in URLs and the value in base64. The first form takes precedence.
 */
function readXattrs(values: ReadonlyMap<string, string>): Pick<PaxRecords, 'xattrs'> {
  const xattrs = new Map<string, string>();
  for (const [key, value] of values) {
    if (!key.startsWith(libarchiveXattr)) continue;
    const name = key.slice(libarchiveXattr.length).replace(/%([0-9a-f]{2})/gi, (_, hex: string) => unhex(hex));
    xattrs.set(name, Buffer.from(value, 'base64').toString('latin1'));
  }
  for (const [key, value] of values) if (key.startsWith(starXattr)) xattrs.set(key.slice(starXattr.length), value);
  return xattrs.size > 0 ? { xattrs } : {};
}

function unhex(hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}

/**
 * Accepts a global header unless it affects which entries there are: some readers apply such records, others do not.
 */
function parseGlobalPax(bytes: Buffer, suspect: Suspect): PaxAttributes {
  const { path, linkPath, size, ...attributes } = parsePax(bytes, suspect, false);
  if (path !== undefined || linkPath !== undefined || size !== undefined) {
    throw invalid('A6', 'a global pax header that sets paths or sizes', suspect);
  }
  return attributes;
}

/** @throws ARCHIVE_INVALID for malformed records, and for values that are no number or path where one is required. */
export function* paxRecords(bytes: Buffer, suspect: Suspect): Generator<readonly [key: string, value: string]> {
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    const digits = space === -1 ? '' : bytes.toString('latin1', at, Math.min(space, at + 16));
    const end = at + (/^[1-9][0-9]*$/.test(digits) ? Number(digits) : Number.NaN);
    if (!(end > space + 1 && end <= bytes.length) || bytes[end - 1] !== 0x0a) throw malformed(suspect);
    const record = bytes.toString('latin1', space + 1, end - 1);
    const equals = record.indexOf('=');
    if (equals < 1) throw malformed(suspect);
    yield checkRecord(record.slice(0, equals), record.slice(equals + 1), suspect);
    at = end;
  }
}

function checkRecord(key: string, value: string, suspect: Suspect): readonly [key: string, value: string] {
  if (key.includes('\0')) throw malformed(suspect);
  if (texts.has(key) && value.includes('\0')) throw invalid('A10', `a pax ${key} with a NUL in it`, suspect);
  if (value !== '' && numeric.get(key)?.test(value) === false)
    throw invalid('A6', `a pax ${key} that is no number`, suspect);
  return [key, value];
}

function malformed(suspect: Suspect): Error {
  return invalid('A6', 'a malformed pax header', suspect);
}
