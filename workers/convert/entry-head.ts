import { paxRecords } from '../tar/extensions.ts';
import { type Attributes, blockBytes, type EntryKind, type Header, parseHeader } from '../tar/header.ts';
import { invalid } from '../tar/refuse.ts';
import type { TreePosition } from './tree.ts';

/** The attributes of an entry in the result, other than path, type and content. Texts are latin1. */
export type EntryHead = Omit<Attributes, 'mtime'> & {
  /** Seconds since the epoch in decimal digits, possibly with a fraction: a number has too few digits for it. */
  readonly mtime: string;
  readonly userName: string;
  readonly groupName: string;
  /** Extended attributes, as pax records, by key. */
  readonly records: readonly (readonly [key: string, value: string])[];
};

/** For paths that have no entry in any layer. */
export const plainHead: EntryHead = {
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: '0',
  major: 0,
  minor: 0,
  userName: '',
  groupName: '',
  records: [],
};

/** Seven octal digits. */
const deviceMaximum = 0o7777777;

/** Keys of extended attributes and access control lists: star's, which other programs use too, and libarchive's. */
const isKept = (key: string): boolean => /^(?:SCHILY\.xattr|SCHILY\.acl|LIBARCHIVE\.xattr)\./.test(key);

/**
 * Reads the headers of an entry a second time, after the tree was built.
 *
 * @param read - returns that many bytes of its layer's tar, from that position.
 * @throws ARCHIVE_INVALID
 */
export function readEntryHead(place: TreePosition, read: (position: number, bytes: number) => Buffer): EntryHead {
  const pax = new Map<string, string>();
  for (let at = place.start; ;) {
    const block = read(at, blockBytes);
    const header = parseHeader(block, at);
    if (at === place.offset) return combine(header, readNames(block, header.format), pax);
    const { kind, size } = header;
    if (kind === 'pax')
      for (const [key, value] of paxRecords(read(at + blockBytes, size), { offset: at })) pax.set(key, value);
    at += blockBytes + Math.ceil(size / blockBytes) * blockBytes;
  }
}

function readNames(block: Buffer, format: Header['format']) {
  const read = (start: number) => block.toString('latin1', start, start + 32).replace(/\0[^]*/, '');
  return format === 'v7' ? { userName: '', groupName: '' } : { userName: read(265), groupName: read(297) };
}

function combine(
  { kind, attributes, offset }: Header,
  names: Pick<EntryHead, 'userName' | 'groupName'>,
  pax: ReadonlyMap<string, string>,
): EntryHead {
  const [uid, gid] = [Number(pax.get('uid') || attributes.uid), Number(pax.get('gid') || attributes.gid)];
  if (!Number.isSafeInteger(uid) || !Number.isSafeInteger(gid))
    throw invalid('A6', 'an owner beyond all numbers', { offset });
  const isDevice = kind === 'character-device' || kind === 'block-device';
  const [major, minor] = isDevice ? [attributes.major, attributes.minor] : [0, 0];
  if (Math.min(major, minor) < 0 || Math.max(major, minor) > deviceMaximum)
    throw invalid('A4', 'a device number beyond what a header holds', { offset });
  return {
    mode: attributes.mode,
    uid,
    gid,
    mtime: formatTime(pax.get('mtime') || String(attributes.mtime), offset),
    major,
    minor,
    userName: pax.get('uname') || names.userName,
    groupName: pax.get('gname') || names.groupName,
    records: [...pax].filter(([key]) => isKept(key)).sort(([a], [b]) => (a < b ? -1 : 1)),
  };
}

/** Formats a time to the nanosecond, without trailing zeros. */
function formatTime(text: string, offset: number): string {
  const [, whole, fraction = ''] = /^(-?\d{1,20})(?:\.(\d{0,9})\d*)?$/.exec(text) ?? [];
  if (whole === undefined) throw invalid('A6', 'a time beyond all numbers', { offset });
  const digits = fraction.replace(/0+$/, '');
  return digits === '' ? whole : `${whole}.${digits}`;
}

/** An entry to be written. Texts are latin1, one character for each byte. */
export type FormattedEntry = {
  readonly kind: EntryKind;
  readonly path: string;
  readonly linkPath: string;
  readonly size: number;
  readonly head: EntryHead;
};

const flags: Readonly<Record<EntryKind, string>> = {
  file: '0',
  'hard-link': '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
};

const nameBytes = 100;
const ownerNameBytes = 32;
const octalMaximum = { 7: 0o7777777, 11: 0o77777777777 } as const;

/**
 * Formats the blocks before an entry's content: a POSIX header, preceded by a pax header for values that do not fit.
 * The same entry always gives the same bytes. No byte of the input is lost, as UTF-8 text or 32-bit numbers would lose
 * some.
 *
 * @see POSIX.1-2017 pax, Extended Header and ustar Interchange Format
 */
export function formatHeader(entry: FormattedEntry): Buffer {
  const { path, linkPath, size, head } = entry;
  const { mtime } = head;
  const records: (readonly [string, string])[] = [
    ...(path.length > nameBytes ? [['path', path] as const] : []),
    ...(linkPath.length > nameBytes ? [['linkpath', linkPath] as const] : []),
    ...(fits(size, 11) ? [] : [['size', String(size)] as const]),
    ...(fits(head.uid, 7) ? [] : [['uid', String(head.uid)] as const]),
    ...(fits(head.gid, 7) ? [] : [['gid', String(head.gid)] as const]),
    ...(head.userName.length > ownerNameBytes ? [['uname', head.userName] as const] : []),
    ...(head.groupName.length > ownerNameBytes ? [['gname', head.groupName] as const] : []),
    ...(isPlainTime(mtime) ? [] : [['mtime', mtime] as const]),
    ...head.records,
  ];
  const block = formatBlock(flags[entry.kind], entry, isPlainTime(mtime) ? Number(mtime) : 0);
  return records.length === 0 ? block : Buffer.concat([formatPax(records), block]);
}

function formatPax(records: readonly (readonly [string, string])[]): Buffer {
  const body = Buffer.from(records.map(([key, value]) => formatRecord(key, value)).join(''), 'latin1');
  const header = formatBlock('x', { path: 'PaxHeader', linkPath: '', size: body.length, head: plainHead }, 0);
  return Buffer.concat([header, body, padding(body.length)]);
}

/** The length includes its own digits. */
function formatRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const digits = String(rest.length).length;
  const length = rest.length + digits;
  return `${String(length).length === digits ? length : length + 1}${rest}`;
}

function formatBlock(
  flag: string,
  { path, linkPath, size, head }: Omit<FormattedEntry, 'kind'>,
  mtime: number,
): Buffer {
  const block = Buffer.alloc(blockBytes);
  block.write(path.slice(0, nameBytes), 0, 'latin1');
  block.write(octal(head.mode & 0o7777, 7), 100);
  block.write(octal(fits(head.uid, 7) ? head.uid : 0, 7), 108);
  block.write(octal(fits(head.gid, 7) ? head.gid : 0, 7), 116);
  if (fits(size, 11)) block.write(octal(size, 11), 124);
  else writeBase256(block, size);
  block.write(octal(mtime, 11), 136);
  block.write('        ', 148);
  block.write(flag, 156);
  block.write(linkPath.slice(0, nameBytes), 157, 'latin1');
  block.write('ustar\x0000', 257);
  block.write(head.userName.slice(0, ownerNameBytes), 265, 'latin1');
  block.write(head.groupName.slice(0, ownerNameBytes), 297, 'latin1');
  block.write(octal(head.major, 7), 329);
  block.write(octal(head.minor, 7), 337);
  block.write(`${octal(checksum(block), 6)}\0 `, 148);
  return block;
}

/** Writes a size in the form that readers without pax understand. */
function writeBase256(block: Buffer, size: number): void {
  block.writeUInt8(0x80, 124);
  block.writeBigUInt64BE(BigInt(size), 128);
}

function checksum(block: Buffer): number {
  let sum = 0;
  for (const byte of block) sum += byte;
  return sum;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

function fits(value: number, digits: 7 | 11): boolean {
  return value >= 0 && value <= octalMaximum[digits];
}

function isPlainTime(text: string): boolean {
  return /^\d{1,11}$/.test(text) && fits(Number(text), 11);
}

/** The bytes that fill the last block of a content with that many bytes. */
export function padding(bytes: number): Buffer {
  return Buffer.alloc((blockBytes - (bytes % blockBytes)) % blockBytes);
}
