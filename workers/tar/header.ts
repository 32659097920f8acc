import { invalid, type Suspect } from './refuse.ts';

export const blockBytes = 512;

export type EntryKind = 'file' | 'hard-link' | 'symlink' | 'character-device' | 'block-device' | 'directory' | 'fifo';

/** Headers that only say something about the entry behind them, or about all entries. */
export type ExtensionKind = 'pax' | 'pax-global' | 'gnu-name' | 'gnu-link';

/** What an extraction gives an entry beside its content. Numbers are as the archive has them, whatever they are good for. */
export type Attributes = {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since the epoch, perhaps with a fraction. */
  readonly mtime: number;
  /** The same as a pax header has it, which may be more digits than a number holds. */
  readonly mtimeText?: string;
  /** Of a device. */
  readonly major: number;
  readonly minor: number;
};

/** One header block. Paths are latin1 text, one character a byte, so that comparing them compares bytes. */
export type Header = {
  readonly kind: EntryKind | ExtensionKind;
  /** A file of the kind that is a directory to some readers when its path ends with a slash. */
  readonly isOldFile: boolean;
  readonly format: 'ustar' | 'gnu' | 'v7';
  readonly path: string;
  readonly linkPath: string;
  /** As the size field says, whether or not bytes follow. */
  readonly size: number;
  readonly attributes: Attributes;
  /** Of the block in the tar. */
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

/** Of which readers without support for it would make another file. */
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

/** The sum of all bytes, those of the checksum itself counted as spaces. */
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

/** Only POSIX headers have a prefix: the same bytes are times in a GNU header. */
function readPath(block: Buffer, format: Header['format'], offset: number): string {
  const name = readText(block, 0, 100, offset);
  if (format !== 'ustar') return name;
  const prefix = readText(block, 345, hasStarTimes(block) ? 131 : 155, offset);
  if (prefix.length >= 131 && block.toString('latin1', 508, 512) === 'tar\0') {
    throw invalid('A4', 'a header that star and POSIX read differently', { path: name, offset });
  }
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** As star does, and the tar of npm under the POSIX magic: a NUL behind the prefix, then the times of access and change. */
function hasStarTimes(block: Buffer): boolean {
  return block[475] === 0 && starTimes.test(block.toString('latin1', 476, 500));
}

const starTimes = /^(?:[0-7]{11}[ \0]|[0-7]{10} \0|\0{12}){2}$/;

/** Readers cut a name at its first NUL or take it whole, so nothing may stand behind one. */
function readText(block: Buffer, start: number, length: number, offset: number): string {
  const text = block.toString('latin1', start, start + length);
  const end = text.indexOf('\0');
  if (end === -1) return text;
  const path = text.slice(0, end);
  if (/[^\0]/.test(text.slice(end))) throw invalid('A10', 'a path with a NUL in it', { path, offset });
  return path;
}

/** Every number of the header, those that nobody uses too, is one. */
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

/** NULs before spaces before digits would be read in two ways. */
const octal = /^ *\0*([0-7]*)[ \0]*$/;

/**
 * A number field of a tar header: octal, or base-256 when its first bit is set.
 *
 * @returns undefined for anything else, and for numbers beyond what JavaScript holds exactly.
 * @see docs/rules.md A4
 */
function readNumber(block: Buffer, start: number, length: number): number | undefined {
  const first = block.readUInt8(start);
  if ((first & 0x80) === 0) return readOctal(block, start, length);
  let value = BigInt.asIntN(7, BigInt(first & 0x7f)); // two's complement without the marking bit
  for (const byte of block.subarray(start + 1, start + length)) value = (value << 8n) | BigInt(byte);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}

/** Octal digits with spaces or NULs around them; an empty field is 0. */
function readOctal(block: Buffer, start: number, length: number): number | undefined {
  const digits = octal.exec(block.toString('latin1', start, start + length))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits || '0', 8);
}
