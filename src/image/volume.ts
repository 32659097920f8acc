import { isAbsolute } from 'node:path';

import { ImageError } from '../errors.ts';
import { acNameProblem } from './ac-name.ts';
import { show } from './show.ts';

export type Mount = { readonly volume: string; readonly path: string };
export type Volume = {
  readonly name: string;
  readonly kind: 'host' | 'empty';
  readonly source?: string;
  readonly readOnly?: boolean;
};

/** Parses `volume=NAME,target=PATH`. @throws USAGE */
export function parseMount(text: string): Mount {
  const { volume, target, ...rest } = parsePairs(text, '--mount');
  refuseOthers(rest, '--mount');
  if (!volume || !target) throw usage('--mount', 'want volume=NAME,target=PATH');
  const problem = acNameProblem(volume);
  if (problem !== undefined) throw usage('--mount', `the volume name "${show(volume)}" ${problem}`);
  return { volume, path: target };
}

/** Parses `NAME,kind=host,source=/PATH[,readOnly=true]` or `NAME,kind=empty`. @throws USAGE */
export function parseVolume(text: string): Volume {
  const { name = '', kind, source, readOnly, ...rest } = parsePairs(`name=${text}`, '--volume');
  refuseOthers(rest, '--volume');
  if (kind !== 'host' && kind !== 'empty') throw usage('--volume', 'want kind=host or kind=empty');
  const volume: Volume = {
    name,
    kind,
    ...(source !== undefined && { source }),
    ...(readOnly !== undefined && { readOnly: parseFlag(readOnly) }),
  };
  checkVolume(volume);
  return volume;
}

/** @throws USAGE unless name and source fit. */
export function checkVolume({ name, kind, source }: Volume): void {
  const problem = acNameProblem(name);
  if (problem !== undefined) throw usage('--volume', `the volume name "${show(name)}" ${problem}`);
  if (kind === 'empty' && source) throw usage('--volume', `the empty volume ${name} may not have a source`);
  if (kind === 'host' && !isAbsolute(source ?? ''))
    throw usage('--volume', `the source of volume ${name} must be an absolute path`);
}

function parsePairs(text: string, option: string): Readonly<Partial<Record<string, string>>> {
  const pairs = new Map<string, string>();
  for (const pair of text.split(',')) {
    const equals = pair.indexOf('=');
    if (equals === -1) throw usage(option, `"${show(pair)}" has no value`);
    const key = pair.slice(0, equals);
    if (pairs.has(key)) throw usage(option, `${show(key)} is given twice`);
    pairs.set(key, pair.slice(equals + 1));
  }
  return Object.fromEntries(pairs);
}

function refuseOthers(rest: object, option: string): void {
  const [other] = Object.keys(rest);
  if (other !== undefined) throw usage(option, `unknown parameter "${show(other)}"`);
}

function parseFlag(text: string): boolean {
  if (/^(?:1|t|true)$/i.test(text)) return true;
  if (/^(?:0|f|false)$/i.test(text)) return false;
  throw usage('--volume', `readOnly is true or false, not "${show(text)}"`);
}

function usage(option: string, problem: string): ImageError<'USAGE'> {
  return new ImageError('USAGE', `${option}: ${problem}`, { option });
}
