import { join, resolve } from 'node:path';

import {
  getTrustedRoot,
  hasCode,
  ImageError,
  isImageError,
  openPool,
  type Pool,
  readError,
  show,
  showUrl,
  type TrustedAuthority,
  writeKey,
} from '../../../internal.ts';
import { isNoEntry } from '../../../system/errno.ts';
import { readFound, readNamed } from '../../../system/files.ts';
import type { Run } from '../../command.ts';
import { readConfig } from '../../config/read-config.ts';
import { usageError } from '../../options/option.ts';
import { directoriesOf, isOn, textOf, valueOf } from '../../options/read.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { networkSettings, readCaFile } from '../fetch/network.ts';
import { networkOptions } from '../fetch/options.ts';
import { layerNames, ownLayer } from './context.ts';

const mirrorOfSigstore = 'https://tuf-repo-cdn.sigstore.dev';
const rootName = 'trusted_root.json';
const rootBytes = 1024 * 1024;

/**
 * `trust update-root`: gets the trusted root of sigstore by TUF, and says what it changes, in lines or as `longshore.root/1`. Nothing else
 * asks for it.
 */
export const runUpdateRoot: Run = async (io, line) => {
  const { stdout, stderr, environment, signal } = io;
  const mirror = valueOf(line, 'mirror', parseMirror) ?? mirrorOfSigstore;
  const root = await valueOf(line, 'initial-root', readRoot);
  const dryRun = isOn(line, 'dry-run');
  const directories = directoriesOf(line, environment);
  const layers = layerNames.map((name) => join(directories[name], 'trustedkeys'));
  const own = layers[ownLayer()] ?? '';
  const path = join(own, rootName);

  const options = networkOptions(line);
  const ca = await valueOf(line, 'ca-file', readCaFile);
  const network = networkSettings({ options, config: await readConfig(directories), environment, ca });
  const update = { mirror, root, metadata: join(own, 'tuf'), save: !dryRun };
  const found = await getTrustedRoot({ ...options, ...network }, update, signal);
  await using pool = openPool({ workers: 1, sessionsPerWorker: 1 });
  const after = await authoritiesOf(pool, mirror, found);
  const present = await readPresent(path);
  const isCurrent = present?.equals(found) === true;
  const before = isCurrent ? after : await authoritiesBefore(pool, path, present);
  if (!isCurrent && !dryRun) await writeKey(path, found);
  const usedInstead: string[] = [];
  for (const later of layers.slice(ownLayer() + 1)) {
    const above = join(later, rootName);
    if (await readPresent(above)) usedInstead.push(above);
  }
  const outcome = { dryRun, path, isCurrent, changes: changesOf(before, after) };
  await write(stdout, textOf(line, 'output') === 'json' ? json(outcome, usedInstead.at(-1)) : text(outcome));
  for (const above of usedInstead) stderr.write(`warning: "${show(above, 4096)}" is there, and is used instead\n`);
  return exitCodes.success;
};

function parseMirror(text: string, option: string): string {
  const { protocol, username, password, search, hash } = URL.parse(text) ?? {};
  if (/^https?:$/.test(protocol ?? '') && [username, password, search, hash].join('') === '') return text;
  throw usageError(`"${showUrl(text)}" is no http or https URL of a directory`, option);
}

async function readRoot(path: string, option: string) {
  const absolute = resolve(path);
  const bytes = await readNamed(absolute, rootBytes).catch((error: unknown) => {
    throw readError(error, absolute, show(absolute, 1000));
  });
  if (bytes.length > rootBytes) throw usageError(`"${show(path)}" has more than ${rootBytes} bytes`, option);
  return { path: absolute, bytes };
}

/** @returns undefined if there is no file */
async function readPresent(path: string): Promise<Buffer | undefined> {
  try {
    return await readFound(path, rootBytes);
  } catch (error) {
    if (isNoEntry(error)) return undefined;
    throw readError(error, path, show(path, 1000));
  }
}

type Authorities = readonly TrustedAuthority[];

/** @throws TRUSTED_ROOT_REFUSED for one that could not be used after it was written */
async function authoritiesOf(pool: Pool, mirror: string, bytes: Uint8Array): Promise<Authorities> {
  try {
    return await pool.run('listAuthorities', { path: rootName, bytes });
  } catch (error) {
    if (!hasCode(error, 'CONFIG_INVALID')) throw error;
    const url = showUrl(mirror);
    const message = `the trusted root of ${url} cannot be used by this version: ${error.message}`;
    throw new ImageError('TRUSTED_ROOT_REFUSED', message, { url }, { cause: error });
  }
}

/** None, of a file that is not there or cannot be used: it is replaced. */
async function authoritiesBefore(pool: Pool, path: string, bytes: Uint8Array | undefined): Promise<Authorities> {
  if (!bytes || bytes.length === 0) return [];
  return pool.run('listAuthorities', { path, bytes }).catch((error: unknown) => {
    if (isImageError(error)) return [];
    throw error;
  });
}

type Changes = {
  readonly new: Authorities;
  /** Those that are trusted for another time. */
  readonly changed: readonly { readonly before: TrustedAuthority; readonly after: TrustedAuthority }[];
  readonly gone: Authorities;
};

function changesOf(before: Authorities, after: Authorities): Changes {
  const [old, current] = [byKey(before), byKey(after)];
  return {
    new: after.filter((one) => !old.has(keyOf(one))),
    changed: [...current].flatMap(([key, one]) => {
      const known = old.get(key);
      const isSame = known === undefined || (known.from === one.from && known.until === one.until);
      return isSame ? [] : [{ before: known, after: one }];
    }),
    gone: before.filter((one) => !current.has(keyOf(one))),
  };
}

function keyOf({ kind, name, fingerprint }: TrustedAuthority): string {
  return JSON.stringify([kind, name, fingerprint]);
}

function byKey(all: Authorities): ReadonlyMap<string, TrustedAuthority> {
  return new Map(all.map((one) => [keyOf(one), one]));
}

type Outcome = {
  readonly dryRun: boolean;
  readonly path: string;
  readonly isCurrent: boolean;
  readonly changes: Changes;
};

function json({ changes, ...outcome }: Outcome, usedInstead: string | undefined): string {
  const last = usedInstead === undefined ? {} : { usedInstead };
  return `${toSafeJson({ schema: 'longshore.root/1', ...outcome, ...last, ...changes })}\n`;
}

/** One line for each authority that is new, gone, or trusted from or until another day. */
function text({ dryRun, path, isCurrent, changes }: Outcome): string {
  if (isCurrent) return `"${show(path, 4096)}" is up to date\n`;
  const changed = changes.changed.filter(({ before, after }) => timeOf(before) !== timeOf(after));
  const lines = [
    ...changes.new.map((one) => `new: ${describe(one)}`),
    ...changed.map(({ before, after }) => `changed: ${describe(after)} (was: ${timeOf(before)})`),
    ...changes.gone.map((one) => `gone: ${describe(one)}`),
    `${dryRun ? 'Would write' : 'Wrote'} "${show(path, 4096)}"`,
  ];
  return lines.map((one) => `${one}\n`).join('');
}

const kinds: { readonly [K in TrustedAuthority['kind']]: string } = {
  certificates: 'authority for certificates',
  'log of certificates': 'log of certificates',
  'log of signatures': 'log of signatures',
  'time stamps': 'authority for time stamps',
};

function describe(authority: TrustedAuthority): string {
  const { kind, name, fingerprint } = authority;
  return `${kinds[kind]} ${show(name, 1000)} (${fingerprint.slice(0, 16)}), ${timeOf(authority)}`;
}

function timeOf({ from, until }: TrustedAuthority): string {
  const since = from === undefined ? 'at any time' : `from ${from.slice(0, 10)}`;
  return until === undefined ? since : `${since} until ${until.slice(0, 10)}`;
}
