/**
 * A second reading of rules A4 to A12, written for obviousness: the whole archive in memory, every step over all of it.
 * It shares nothing with the reader it is compared to. Paths are latin1 text.
 */
export type SlowFile = {
  readonly path: string;
  readonly type: string;
  readonly link: string;
  readonly content: Buffer;
  /** As its header says; directories have no content whatever it says. */
  readonly statedSize: number;
};

type Raw = SlowFile & { readonly magic: string };

/** @returns every entry, or why the archive is refused. */
export function readSlowly(tar: Buffer): readonly SlowFile[] | string {
  try {
    const files = readEntries(tar);
    checkImage(files);
    return files;
  } catch (error) {
    if (error instanceof Error && error.name === 'Refused') return error.message;
    throw error;
  }
}

function refuse(why: string): never {
  const error = new Error(why);
  error.name = 'Refused';
  throw error;
}

function readEntries(tar: Buffer): readonly SlowFile[] {
  const files: SlowFile[] = [];
  let waiting: { type: string; content: Buffer }[] = [];
  let at = 0;
  for (let isFirst = true; ; isFirst = false) {
    if (at + 512 > tar.length) refuse('no end');
    const block = tar.subarray(at, at + 512);
    if (block.every((byte) => byte === 0)) break;
    const raw = readHeader(block);
    if (isFirst && !raw.magic.startsWith('ustar')) refuse('not a tar');
    const isExtension = 'xgLK'.includes(raw.type);
    const stated = waiting.find(({ type }) => type === 'x');
    const pax = isExtension ? {} : readPax(stated?.content ?? Buffer.alloc(0));
    const size = pax['size'] ? Number(pax['size']) : raw.statedSize;
    if (size !== raw.statedSize && !(size > 0o77777777777 && raw.statedSize <= 0o77777777777)) refuse('pax size');
    if (!Number.isSafeInteger(size)) refuse('size');
    const hasContent = isExtension || raw.type === '0';
    if (!hasContent && raw.type !== '5' && size !== 0) refuse('size without content');
    const length = hasContent ? size : 0;
    const end = at + 512 + Math.ceil(length / 512) * 512;
    if (isExtension && length > 1024 * 1024) refuse('extension limit');
    if (end > tar.length) refuse('cut short');
    const content = tar.subarray(at + 512, at + 512 + length);
    at = end;
    if (isExtension) {
      const others = waiting.map(({ type }) => type).join('');
      if (raw.type === 'x' || raw.type === 'g' ? others !== '' : others.includes(raw.type) || others.includes('x')) {
        refuse('mixed extensions');
      }
      if (raw.type === 'g') {
        const global = readPax(content);
        if (global['path'] || global['linkpath'] || global['size']) refuse('global');
      } else {
        waiting.push({ type: raw.type, content });
        if (raw.type === 'x') readPax(content);
        else readLong(content);
      }
      continue;
    }
    const long = (type: string) => {
      const found = waiting.find((extension) => extension.type === type);
      return found && readLong(found.content);
    };
    files.push({
      path: pax['path'] || (long('L') ?? raw.path),
      type: raw.type,
      link: raw.type === '1' || raw.type === '2' ? pax['linkpath'] || (long('K') ?? raw.link) : '',
      content,
      statedSize: raw.statedSize,
    });
    waiting = [];
  }
  if (waiting.length > 0) refuse('extension without entry');
  if (tar.length - at < 1024 || tar.subarray(at).some((byte) => byte !== 0)) refuse('end');
  return files;
}

function readHeader(block: Buffer): Raw {
  let sum = 0;
  for (let at = 0; at < 512; at++) sum += at >= 148 && at < 156 ? 32 : block.readUInt8(at);
  if (block.readUInt8(148) >= 0x80 || readNumber(block, 148, 8) !== sum) refuse('checksum');
  const magic = block.toString('latin1', 257, 265);
  const isPosix = magic.slice(0, 6) === 'ustar\0';
  const isGnu = magic === 'ustar  \0';
  if (magic.slice(0, 5) === 'ustar' && !isPosix && !isGnu) refuse('magic');
  for (const [at, length] of [
    [100, 8],
    [108, 8],
    [116, 8],
    [136, 12],
  ] as const)
    readNumber(block, at, length);
  if (isPosix || isGnu) for (const at of [329, 337]) readNumber(block, at, 8);
  if (isGnu) for (const at of [345, 357]) readNumber(block, at, 12);
  const times = [block.toString('latin1', 476, 488), block.toString('latin1', 488, 500)];
  const areTimes = times.every((time) => /^([0-7]{11}[ \0]|[0-7]{10} \0|\0*)$/.test(time));
  const prefix = isPosix ? readText(block, 345, block.readUInt8(475) === 0 && areTimes ? 130 : 155) : '';
  if (prefix.length > 130 && block.toString('latin1', 508) === 'tar\0') refuse('star');
  const name = readText(block, 0, 100);
  const flag = block.toString('latin1', 156, 157);
  const type = flag === '\0' ? '0' : flag;
  if (!'0123456xgLK'.includes(type)) refuse('type');
  const statedSize = readNumber(block, 124, 12);
  if (statedSize < 0) refuse('negative');
  const link = type === '1' || type === '2' ? readText(block, 157, 100) : '';
  return { path: prefix === '' ? name : prefix + '/' + name, type, link, content: Buffer.alloc(0), statedSize, magic };
}

function readNumber(block: Buffer, at: number, length: number): number {
  const field = block.subarray(at, at + length);
  if (field.readUInt8(0) >= 0x80) {
    const bits = [...field]
      .map((byte) => byte.toString(2).padStart(8, '0'))
      .join('')
      .slice(1);
    const value = BigInt.asIntN(bits.length, BigInt(`0b${bits}`));
    if (!Number.isSafeInteger(Number(value))) refuse('number');
    return Number(value);
  }
  let text = field.toString('latin1');
  while (text.startsWith(' ')) text = text.slice(1);
  while (text.startsWith('\0')) text = text.slice(1);
  while (text.endsWith(' ') || text.endsWith('\0')) text = text.slice(0, -1);
  let value = 0;
  for (const digit of text) {
    if (!'01234567'.includes(digit)) refuse('number');
    value = value * 8 + Number(digit);
  }
  return value;
}

function readText(block: Buffer, at: number, length: number): string {
  const [text = '', ...rest] = block.toString('latin1', at, at + length).split('\0');
  if (rest.join('') !== '') refuse('nul');
  return text;
}

function readLong(content: Buffer): string {
  const [text = '', ...rest] = content.toString('latin1').split('\0');
  if (text === '' || rest.join('') !== '') refuse('long name');
  return text;
}

function readPax(content: Buffer): Record<string, string> {
  const values: Record<string, string> = Object.create(null) as Record<string, string>;
  let text = content.toString('latin1');
  while (text !== '') {
    const digits = /^([1-9][0-9]*) /.exec(text)?.[1] ?? refuse('pax length');
    const record = text.slice(0, Number(digits));
    if (record.length !== Number(digits) || record.length <= digits.length + 1 || !record.endsWith('\n'))
      refuse('pax record');
    text = text.slice(record.length);
    const [key = '', ...value] = record.slice(digits.length + 1, -1).split('=');
    if (key === '' || value.length === 0 || key.includes('\0') || key.startsWith('GNU.sparse.')) refuse('pax key');
    const whole = value.join('=');
    if (['path', 'linkpath', 'uname', 'gname'].includes(key) && whole.includes('\0')) refuse('pax nul');
    if (['path', 'linkpath', 'size'].includes(key) && key in values) refuse('pax twice');
    const form = { size: /^\d*$/, uid: /^(-?\d+)?$/, gid: /^(-?\d+)?$/ }[key];
    const time = ['mtime', 'atime', 'ctime'].includes(key) ? /^(-?\d+(\.\d*)?)?$/ : undefined;
    if ((form ?? time)?.test(whole) === false) refuse('pax number');
    values[key] = whole;
  }
  return values;
}

function checkImage(files: readonly SlowFile[]): void {
  const trim = (path: string) => {
    if (path === '.' || path === './') return '.';
    const start = path.startsWith('./') ? 2 : 0;
    const trimmed = path.endsWith('/') ? path.slice(start, -1) : path.slice(start);
    return trimmed === '.' ? 'a second dot' : trimmed;
  };
  const isBelow = (path: string) =>
    path.startsWith('rootfs/') && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
  const paths = files.map(({ path }) => trim(path));
  if (new Set(paths).size !== paths.length) refuse('twice');
  if (files[paths.indexOf('manifest')]?.type !== '0') refuse('manifest');
  if (files[paths.indexOf('rootfs')]?.type !== '5') refuse('rootfs');
  const solid: string[] = [];
  for (const [index, path] of paths.entries()) {
    const { type, link, path: written } = files[index] ?? refuse('never');
    if (type === '0' && written.endsWith('/')) refuse('file with a slash');
    if (path === '.' && type !== '5') refuse('top');
    if (type !== '5') solid.push(path);
    if (path === 'manifest' || path === 'rootfs' || path === '.') continue;
    if (!isBelow(path)) refuse('outside');
    if (type !== '1') continue;
    const target = trim(link);
    const earlier = paths.slice(0, index).indexOf(target);
    if (!isBelow(target) || earlier === -1 || files[earlier]?.type === '5') refuse('hard link');
  }
  for (const above of solid) if (paths.some((path) => path.startsWith(`${above}/`))) refuse('below a file');
}
