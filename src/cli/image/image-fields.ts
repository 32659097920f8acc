import prettyBytes from 'pretty-bytes';

import { show, type Entry } from '../../index.ts';
import { relativeTime } from './relative-time.ts';

export const imageFields = [
  'id',
  'name',
  'importtime',
  'lastused',
  'size',
  'latest',
  'verified',
  'source',
  'digest',
] as const;
export type ImageField = (typeof imageFields)[number];

/** What `image list` shows unless it is told: rkt's columns in rkt's order. */
export const defaultFields: readonly ImageField[] = ['id', 'name', 'importtime', 'lastused', 'size', 'latest'];

export const fieldTitles: Readonly<Record<ImageField, string>> = {
  id: 'ID',
  name: 'NAME',
  importtime: 'IMPORT TIME',
  lastused: 'LAST USED',
  size: 'SIZE',
  latest: 'LATEST',
  verified: 'VERIFIED',
  source: 'SOURCE',
  digest: 'DIGEST',
};

/** One cell, for people; `full` is for those who need it exact: whole IDs, ISO times, bytes. */
export function fieldText(
  field: ImageField,
  entry: Entry,
  { full, nowMs, isTrusted }: { full: boolean; nowMs: number; isTrusted: boolean },
): string {
  const time = (atMs: number): string => (full ? new Date(atMs).toISOString() : relativeTime(atMs, nowMs));
  switch (field) {
    case 'id':
      return full ? entry.id : idText(entry, 12);
    case 'name':
      return show(entryTitle(entry), 1000);
    case 'importtime':
      return time(entry.importedAtMs);
    case 'lastused':
      return time(entry.lastUsedAtMs);
    case 'size':
      return full ? String(entry.size) : sizeText(entry.size);
    case 'latest':
      return String(entry.latest);
    case 'verified':
      return `${verifiedText(entry, full)}${isTrusted ? '' : ' (not trusted now)'}`;
    case 'source':
      return show(entry.source, 1000);
    case 'digest':
      return show(entry.kind === 'image' ? entry.image.digest : entry.id);
  }
}

/** The first digits of an ID; a digest is always whole, since other tools take no part of one. */
export function idText({ kind, id }: Pick<Entry, 'kind' | 'id'>, digits = 32): string {
  return kind === 'registry' ? id : id.slice(0, 'sha512-'.length + digits);
}

/** What a user asks for to get it: name and version, or the reference of a registry's image. */
export function entryTitle(entry: Entry): string {
  return entry.kind === 'registry' ? entry.image.reference : imageTitle(entry);
}

/** Name and version, the way a user asks for it. */
export function imageTitle({ name, labels }: Pick<Entry, 'name' | 'labels'>): string {
  const version = labels.get('version');
  return version ? `${name}:${version}` : name;
}

export function sizeText(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}

function verifiedText({ verified }: Entry, full: boolean): string {
  if (verified === false) return 'no';
  return verified.map((fingerprint) => (full ? fingerprint : fingerprint.slice(-16))).join(',');
}
