import prettyBytes from 'pretty-bytes';

import {
  asImageError,
  type Entry,
  isTrustName,
  openKeystore,
  parseIdentity,
  show,
  trustName,
} from '../../../internal.ts';
import type { Io } from '../../command.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { directoriesOf } from '../../options/read.ts';
import type { ImageField } from './options.ts';

/** The default columns of `image list`: those of rkt, in the same order. */
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

/** One cell; with `full`, it has exact values: complete IDs, ISO times, bytes. */
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

/** The first digits of an ID. A digest is never shortened, since other tools accept only complete ones. */
export function idText({ kind, id }: Pick<Entry, 'kind' | 'id'>, digits = 32): string {
  return kind === 'registry' ? id : id.slice(0, 'sha512-'.length + digits);
}

/** The name of an entry in a request: name and version, or the registry reference. */
export function entryTitle(entry: Entry): string {
  return entry.kind === 'registry' ? entry.image.reference : imageTitle(entry);
}

/** Name and version as in a request. */
export function imageTitle({ name, labels }: Pick<Entry, 'name' | 'labels'>): string {
  const version = labels.get('version');
  return version ? `${name}:${version}` : name;
}

export function sizeText(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}

function verifiedText({ verified }: Entry, full: boolean): string {
  if (verified === false) return 'no';
  return verified.map((signer) => (full ? signer : (parseIdentity(signer)?.subject ?? signer.slice(-16)))).join(',');
}

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

const units = [
  { unit: 'year', ms: 365 * day },
  { unit: 'month', ms: 30 * day },
  { unit: 'day', ms: day },
  { unit: 'hour', ms: hour },
  { unit: 'minute', ms: minute },
  { unit: 'second', ms: second },
] as const;

const format = new Intl.RelativeTimeFormat('en');

/** A time relative to now: `6 days ago`, `just now`. Both times are milliseconds since the epoch. */
export function relativeTime(atMs: number, nowMs: number): string {
  const distance = Math.abs(atMs - nowMs);
  const found = units.find(({ ms }) => distance >= ms);
  return found ? format.format(Math.trunc((atMs - nowMs) / found.ms), found.unit) : 'just now';
}

/** Whether one of the keys that verified an image is trusted for it now. */
export type TrustedNow = (entry: Entry) => Promise<boolean>;

/** When the trusted keys cannot be read, all images count as trusted, and a warning is written once. */
export async function openTrustedNow(line: CommandLine, { environment, stderr }: Io): Promise<TrustedNow> {
  const { system, local, user } = directoriesOf(line, environment);
  const keystore = await openKeystore({ dirs: [system, local, user] });
  let isReadable = true;
  return async (entry) => {
    const { verified, source } = entry;
    if (verified === false || !isReadable) return true;
    const name = trustName({ name: entry.name, source });
    try {
      return isTrustName(name) && (await keystore.trusts(name, verified));
    } catch (error) {
      isReadable = false;
      stderr.write(`warning: ${show(asImageError(error).message, 4096)}\n`);
      return true;
    }
  };
}

/** A member for JSON output when none of the keys is trusted; otherwise nothing. */
export function trustFact(isTrusted: boolean): { readonly trusted?: false } {
  return isTrusted ? {} : { trusted: false };
}
