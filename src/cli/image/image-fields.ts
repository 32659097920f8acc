import prettyBytes from 'pretty-bytes';

import { show, type StoredImage } from '../../index.ts';
import { relativeTime } from './relative-time.ts';

export const imageFields = ['id', 'name', 'importtime', 'lastused', 'size', 'latest', 'verified', 'source'] as const;
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
};

/** One cell, for people; `full` is for those who need it exact: whole IDs, ISO times, bytes. */
export function fieldText(
  field: ImageField,
  image: StoredImage,
  { full, nowMs }: { full: boolean; nowMs: number },
): string {
  const time = (atMs: number): string => (full ? new Date(atMs).toISOString() : relativeTime(atMs, nowMs));
  switch (field) {
    case 'id':
      return full ? image.imageId : image.imageId.slice(0, 'sha512-'.length + 12);
    case 'name':
      return show(imageTitle(image), 1000);
    case 'importtime':
      return time(image.importedAtMs);
    case 'lastused':
      return time(image.lastUsedAtMs);
    case 'size':
      return full ? String(image.size) : sizeText(image.size);
    case 'latest':
      return String(image.latest);
    case 'verified':
      return verifiedText(image, full);
    case 'source':
      return show(image.source, 1000);
  }
}

/** Name and version, the way a user asks for it. */
export function imageTitle({ name, labels }: Pick<StoredImage, 'name' | 'labels'>): string {
  const version = labels.get('version');
  return version ? `${name}:${version}` : name;
}

export function sizeText(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}

function verifiedText({ verified }: StoredImage, full: boolean): string {
  if (verified === false) return 'no';
  return verified.map((fingerprint) => (full ? fingerprint : fingerprint.slice(-16))).join(',');
}
