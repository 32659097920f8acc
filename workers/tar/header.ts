import { invalid, type Suspect } from './refuse.ts';

export const blockBytes = 512;

export type EntryKind = 'file' | 'hard-link' | 'symlink' | 'character-device' | 'block-device' | 'directory' | 'fifo';

/** Headers that only describe the entry that follows, or all entries. */
export type ExtensionKind = 'pax' | 'pax-global' | 'gnu-name' | 'gnu-link';

/** The attributes that an extraction sets. Numbers are as in the archive and may be out of range. */
export type Attributes = {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since the epoch, possibly with a fraction. */
  readonly mtime: number;
  /** The same time as in a pax header, which may have more digits than a number. */
  readonly mtimeText?: string;
  /** For devices. */
  readonly major: number;
  readonly minor: number;
};

/** One header block. Paths are latin1 text with one character for each byte, so that comparing them compares bytes. */
export type Header = {
  readonly kind: EntryKind | ExtensionKind;
  /** Whether it has the old type of a file, which some readers take for a directory if its path ends with a slash. */
  readonly isOldFile: boolean;
  readonly format: 'ustar' | 'gnu' | 'v7';
  readonly path: string;
  readonly linkPath: string;
  /** The value of the size field, whether or not content follows. */
  readonly size: number;
  readonly attributes: Attributes;
  /** The position of the block in the tar. */
  readonly offset: number;
};

const kinds: ReadonlyMap<string, Header['kind']> = new Map([
  ['\0', 'file'],
  ['0', 'file'],
  ['1', 'hard-link'],
  ['2', 'symlink'],
  ['3', 'character-device'],
  ['4', 'block-device'],
  ['5', 'directory'],
  ['6', 'fifo'],
  ['x', 'pax'],
  ['g', 'pax-global'],
  ['L', 'gnu-name'],
  ['K', 'gnu-link'],
]);

/** Readers without support for sparse files would make another file of it. */
export const sparse = 'a GNU sparse file; write the archive without sparse files (tar without -S)';

const unsupported: ReadonlyMap<string, string> = new Map([
  ['7', 'a contiguous file'],
  ['S', sparse],
  ['M', 'a piece of a multi-volume file'],
  ['V', 'a volume label'],
  ['D', 'a GNU directory dump'],
  ['N', 'an old GNU long name'],
  ['X', 'a Solaris extended header'],
]);

/**
 * @param block - exactly 512 bytes, not all zero.
 * @throws ARCHIVE_INVALID
 * @see docs/rules.md A4, A10, A12; POSIX.1-2017 pax, ustar Interchange Format
 */
export function parseHeader(block: Buffer, offset: number): Header {
  if (readOctal(block, 148, 8) !== checksum(block)) throw invalid('A4', 'a header with a wrong checksum', { offset });
  const format = readFormat(block, offset);
  const path = readPath(block, format, offset);
  const attributes = readAttributes(block, format, { path, offset });
  const size = readNumber(block, 124, 12);
  if (size === undefined || size < 0) throw invalid('A4', 'a header without a usable size', { path, offset });
  const kind = readKind(block, path, offset);
  const isLink = kind === 'hard-link' || kind === 'symlink';
  const linkPath = isLink ? readText(block, 157, 100, offset) : '';
  const isOldFile = block[156] === 0;
  return { kind, isOldFile, format, path, linkPath, size, attributes, offset };
}

/** The sum of all bytes, where those of the checksum itself count as spaces. */
function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < blockBytes; index++) {
    if (index < 148 || index >= 156) sum += block[index] ?? 0;
  }
  return sum;
}

function readFormat(block: Buffer, offset: number): Header['format'] {
  const magic = block.toString('latin1', 257, 265);
  if (magic.startsWith('ustar\0')) return 'ustar';
  if (magic === 'ustar  \0') return 'gnu';
  if (!magic.startsWith('ustar')) return 'v7';
  throw invalid('A4', 'a header of an unknown tar format', { offset });
}

/** Only POSIX headers have a prefix; in a GNU header these bytes are times. */
function readPath(block: Buffer, format: Header['format'], offset: number): string {
  const name = readText(block, 0, 100, offset);
  if (format !== 'ustar') return name;
  const prefix = readText(block, 345, hasStarTimes(block) ? 131 : 155, offset);
  if (prefix.length >= 131 && block.toString('latin1', 508, 512) === 'tar\0') {
    throw invalid('A4', 'a header that star and POSIX read differently', { path: name, offset });
  }
  return prefix === '' ? name : `${prefix}/${name}`;
}

/**
 * Whether the prefix ends with a NUL before the times of access and change, as star writes it, and npm's tar with the
 * POSIX magic.
 */
function hasStarTimes(block: Buffer): boolean {
  return block[475] === 0 && starTimes.test(block.toString('latin1', 476, 500));
}

const starTimes = /^(?:[0-7]{11}[ \0]|[0-7]{10} \0|\0{12}){2}$/;

/** Some readers cut a name at its first NUL, others do not, so only NULs may follow one. */
function readText(block: Buffer, start: number, length: number, offset: number): string {
  const text = block.toString('latin1', start, start + length);
  const end = text.indexOf('\0');
  if (end === -1) return text;
  const path = text.slice(0, end);
  if (/[^\0]/.test(text.slice(end))) throw invalid('A10', 'a path with a NUL in it', { path, offset });
  return path;
}

/** Every number field must be a number, even if nobody uses it. */
function readAttributes(block: Buffer, format: Header['format'], suspect: Suspect): Attributes {
  const read = (name: string, start: number, length: number): number => {
    const number = readNumber(block, start, length);
    if (number === undefined) throw invalid('A4', `a header whose ${name} is no number`, suspect);
    return number;
  };
  const [mode, uid, gid] = [read('mode', 100, 8), read('uid', 108, 8), read('gid', 116, 8)];
  const mtime = read('mtime', 136, 12);
  if (format === 'v7') return { mode, uid, gid, mtime, major: 0, minor: 0 };
  const [major, minor] = [read('devmajor', 329, 8), read('devminor', 337, 8)];
  if (format === 'gnu') {
    read('atime', 345, 12);
    read('ctime', 357, 12);
  }
  return { mode, uid, gid, mtime, major, minor };
}

function readKind(block: Buffer, path: string, offset: number): Header['kind'] {
  const flag = block.toString('latin1', 156, 157);
  const kind = kinds.get(flag);
  if (kind !== undefined) return kind;
  throw invalid('A12', unsupported.get(flag) ?? `an entry of unknown type 0x${block.toString('hex', 156, 157)}`, {
    path,
    offset,
  });
}

/** Readers differ on NULs before spaces before digits, so these are refused. */
const octal = /^ *\0*([0-7]*)[ \0]*$/;

/**
 * Reads a number field of a tar header: octal, or base-256 when its first bit is set.
 *
 * @returns undefined for anything else, and for numbers that JavaScript cannot represent exactly.
 * @see docs/rules.md A4
 */
function readNumber(block: Buffer, start: number, length: number): number | undefined {
  const first = block.readUInt8(start);
  if ((first & 0x80) === 0) return readOctal(block, start, length);
  let value = BigInt.asIntN(7, BigInt(first & 0x7f)); // two's complement without the first bit
  for (const byte of block.subarray(start + 1, start + length)) value = (value << 8n) | BigInt(byte);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}

/** Octal digits, possibly with spaces or NULs around them; an empty field is 0. */
function readOctal(block: Buffer, start: number, length: number): number | undefined {
  const digits = octal.exec(block.toString('latin1', start, start + length))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits || '0', 8);
}
