import { blockBytes, parseHeader, type Attributes, type Header } from '../tar/header.ts';
import { paxRecords } from '../tar/pax.ts';
import { invalid } from '../tar/refuse.ts';
import type { Place } from './tree.ts';

/** What the result says of an entry beside path, type and content; texts are latin1. */
export type EntryHead = Omit<Attributes, 'mtime'> & {
  /** Seconds since the epoch in decimal digits, with a fraction if need be: more digits than a number holds. */
  readonly mtime: string;
  readonly userName: string;
  readonly groupName: string;
  /** Extended attributes, as pax records, by key. */
  readonly records: readonly (readonly [key: string, value: string])[];
};

/** Of what no layer has an entry for. */
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

/** The forms in which attributes and access control lists are archived: star's, which others use too, and libarchive's. */
const isKept = (key: string): boolean => /^(?:SCHILY\.xattr|SCHILY\.acl|LIBARCHIVE\.xattr)\./.test(key);

/**
 * Reads the headers of an entry that has been indexed, once more.
 *
 * @param read - so many bytes of its layer's tar, from that position.
 * @throws ARCHIVE_INVALID
 */
export function readEntryHead(place: Place, read: (position: number, bytes: number) => Buffer): EntryHead {
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

/** To the nanosecond, without zeros at its end. */
function formatTime(text: string, offset: number): string {
  const [, whole, fraction = ''] = /^(-?\d{1,20})(?:\.(\d{0,9})\d*)?$/.exec(text) ?? [];
  if (whole === undefined) throw invalid('A6', 'a time beyond all numbers', { offset });
  const digits = fraction.replace(/0+$/, '');
  return digits === '' ? whole : `${whole}.${digits}`;
}
