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
import { directoriesOf, isOn, valueOf } from '../../options/read.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { write } from '../../output/write.ts';
import { networkSettings, readCaFile } from '../fetch/network.ts';
import { networkOptions } from '../fetch/options.ts';
import { layerNames, ownLayer } from './context.ts';

const mirrorOfSigstore = 'https://tuf-repo-cdn.sigstore.dev';
const rootName = 'trusted_root.json';
const rootBytes = 1024 * 1024;

/** `trust update-root`: gets the trusted root of sigstore by TUF, and says what it changes. Nothing else asks for it. */
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
  if (present?.equals(found) === true) {
    await write(stdout, `"${show(path, 4096)}" is up to date\n`);
  } else {
    const before = present && present.length > 0 ? await authoritiesBefore(pool, path, present) : [];
    if (!dryRun) await writeKey(path, found);
    const done = dryRun ? 'Would write' : 'Wrote';
    await write(
      stdout,
      [...changes(before, after), `${done} "${show(path, 4096)}"`].map((text) => `${text}\n`).join(''),
    );
  }
  for (const later of layers.slice(ownLayer() + 1)) {
    const above = join(later, rootName);
    if (await readPresent(above)) stderr.write(`warning: "${show(above, 4096)}" is there, and is used instead\n`);
  }
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
    throw readError(error, absolute);
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
    throw readError(error, path);
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

/** None, of a file that cannot be used: it is replaced. */
async function authoritiesBefore(pool: Pool, path: string, bytes: Uint8Array): Promise<Authorities> {
  return pool.run('listAuthorities', { path, bytes }).catch((error: unknown) => {
    if (isImageError(error)) return [];
    throw error;
  });
}

/** One line for each authority that is new, gone, or trusted for another time. */
function changes(before: Authorities, after: Authorities): readonly string[] {
  const keyOf = ({ kind, name, fingerprint }: TrustedAuthority): string => JSON.stringify([kind, name, fingerprint]);
  const [old, current] = [before, after].map((all) => new Map(all.map((one) => [keyOf(one), one])));
  if (!old || !current) return [];
  const lines = [...current].flatMap(([key, one]) => {
    const known = old.get(key);
    if (!known) return `new: ${describe(one)}`;
    return timeOf(known) === timeOf(one) ? [] : `changed: ${describe(one)} (was: ${timeOf(known)})`;
  });
  return [...lines, ...[...old].flatMap(([key, one]) => (current.has(key) ? [] : `gone: ${describe(one)}`))];
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
