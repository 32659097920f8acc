import { sparse, type Attributes } from './header.ts';
import { invalid, type Suspect } from './refuse.ts';

/** What a pax header changes about the entry behind it. Paths are latin1 text. */
export type PaxRecords = PaxAttributes & {
  readonly path?: string;
  readonly linkPath?: string;
  readonly size?: number;
  readonly xattrs?: ExtendedAttributes;
};

/** What a global pax header may state as well. */
export type PaxAttributes = Partial<Pick<Attributes, 'uid' | 'gid' | 'mtime' | 'mtimeText'>>;

/** Values by name, both latin1 text. */
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
/** Read by someone as text that ends at a NUL. */
const texts: ReadonlySet<string> = new Set(['path', 'linkpath', 'uname', 'gname']);
const decisive: ReadonlySet<string> = new Set(['path', 'linkpath', 'size']);

/**
 * The records of a pax header: `<length> <key>=<value>\n`, nothing else. An empty value leaves the header's own.
 *
 * @throws ARCHIVE_INVALID
 * @see docs/rules.md A6, A12; POSIX.1-2017 pax, Extended Header
 */
export function parsePax(bytes: Buffer, suspect: Suspect): PaxRecords {
  const values = new Map<string, string>();
  for (const [key, value] of paxRecords(bytes, suspect)) {
    if (decisive.has(key) && values.has(key)) throw invalid('A6', `a pax header that states its ${key} twice`, suspect);
    values.set(key, value);
  }
  const path = values.get('path');
  const linkPath = values.get('linkpath');
  const [size, uid, gid, mtime] = ['size', 'uid', 'gid', 'mtime'].map((key) => values.get(key));
  return {
    ...(path && { path }),
    ...(linkPath && { linkPath }),
    ...(size && { size: Number(size) }),
    ...(uid && { uid: Number(uid) }),
    ...(gid && { gid: Number(gid) }),
    ...(mtime && { mtime: Number(mtime), mtimeText: mtime }),
    ...readXattrs(values),
  };
}

const starXattr = 'SCHILY.xattr.';
const libarchiveXattr = 'LIBARCHIVE.xattr.';

/** As star and most others write extended attributes, or else as libarchive does: the name URL-encoded, the value in base64. */
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
 * A global header is taken when it changes nothing that decides which entries there are: some readers apply such
 * records, others do not.
 */
export function parseGlobalPax(bytes: Buffer, suspect: Suspect): PaxAttributes {
  const { path, linkPath, size, ...attributes } = parsePax(bytes, suspect);
  if (path !== undefined || linkPath !== undefined || size !== undefined) {
    throw invalid('A6', 'a global pax header that sets paths or sizes', suspect);
  }
  return attributes;
}

/** @throws ARCHIVE_INVALID for what is malformed, or is no number or path where one has to be. */
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
  if (key.startsWith('GNU.sparse.')) throw invalid('A12', sparse, suspect);
  if (key.includes('\0')) throw malformed(suspect);
  if (texts.has(key) && value.includes('\0')) throw invalid('A10', `a pax ${key} with a NUL in it`, suspect);
  if (value !== '' && numeric.get(key)?.test(value) === false)
    throw invalid('A6', `a pax ${key} that is no number`, suspect);
  return [key, value];
}

function malformed(suspect: Suspect): Error {
  return invalid('A6', 'a malformed pax header', suspect);
}
