import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { Updater } from 'tuf-js';

import { hasCode, ImageError } from '../errors.ts';
import { configInvalid } from '../image/config-file.ts';
import { makeScratch, readError, writeError } from '../image/file-error.ts';
import { show, showUrl } from '../image/show.ts';
import { isNoEntry } from '../system/errno.ts';
import { readFound } from '../system/files.ts';
import { writeKey } from './trust.ts';

/** A repository of TUF that has the trusted root of an instance of sigstore. */
export type TufRepository = {
  /** The URL of its directory. */
  readonly mirror: string;
  /** The root.json that the first update begins from; `path` for messages. */
  readonly initial: { readonly path: string; readonly bytes: Uint8Array };
  /** The directory with the metadata that was seen last: what is older is refused. */
  readonly kept: string;
  /** Gets a file of at most so many bytes. @throws HTTP_STATUS with 403 or 404 if there is none */
  readonly get: (url: string, maximum: number) => Promise<Uint8Array>;
};

const target = 'trusted_root.json';
/** The metadata that is kept. Of roles that others delegate to, the snapshot says which version is the last. */
const keptNames = ['root.json', 'timestamp.json', 'snapshot.json', 'targets.json'];

const mebibyte = 1024 * 1024;
const bounds = {
  maxRootRotations: 64,
  maxDelegations: 8,
  rootMaxLength: 256 * 1024,
  timestampMaxLength: 16 * 1024,
  snapshotMaxLength: mebibyte,
  targetsMaxLength: mebibyte,
};

/**
 * Gets the trusted root by the rules of TUF: it is the one that the repository's owners have signed last, and all that was seen of the
 * repository before is older or the same.
 *
 * @param save - whether the metadata is kept, also if it turns out later that there is no trusted root to be had.
 * @throws TRUSTED_ROOT_REFUSED, CONFIG_INVALID for kept metadata that is damaged, and what `get` throws
 * @see TUF specification, §5
 */
export async function getByTuf(repository: TufRepository, save: boolean): Promise<Uint8Array> {
  const { initial, kept } = repository;
  const scratch = await makeScratch('longshore-tuf-');
  try {
    const before = await readMetadata(kept);
    const given = before.has('root.json') ? before : new Map([...before, ['root.json', initial.bytes] as const]);
    for (const [name, bytes] of given) await writeScratch(join(scratch, name), bytes);
    const root = before.has('root.json') ? join(kept, 'root.json') : initial.path;
    const updating = update(repository, { directory: scratch, root });
    await updating.catch(() => undefined); // what was verified before that counts
    if (!save) return await updating;
    // another process may have seen more meanwhile
    if (isOther(before, await readMetadata(kept))) return await getByTuf(repository, save);
    await keep(scratch, kept, before);
    return await updating;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

type Place = {
  /** Where the library reads and writes metadata. */
  readonly directory: string;
  /** Where its root.json is from. */
  readonly root: string;
};

/** The library does not say how a fetcher tells it that there is no later root: it begins again then, and looks for none. */
async function update({ mirror, get }: TufRepository, { directory, root }: Place): Promise<Uint8Array> {
  const base = mirror.replace(/\/+$/, '');
  let hasLastRoot = false;
  let fault: { readonly error: unknown } | undefined;
  const take = async (url: string, maximum: number): Promise<Buffer> => {
    try {
      return Buffer.from(await get(url, Math.min(maximum, mebibyte)));
    } catch (error) {
      if (isMissing(error) && /\/\d+\.root\.json$/.test(url)) hasLastRoot = true;
      else fault = { error };
      throw error; // the library makes a text of it
    }
  };
  const file = join(directory, 'download');
  const fetcher = {
    downloadBytes: take,
    async downloadFile<T>(url: string, maximum: number, use: (path: string) => Promise<T>): Promise<T> {
      await writeScratch(file, await take(url, maximum));
      return use(file);
    },
  };
  const open = (maxRootRotations: number): Updater => {
    const config = { ...bounds, maxRootRotations };
    const urls = { metadataBaseUrl: base, targetBaseUrl: `${base}/targets` };
    return new Updater({ metadataDir: directory, ...urls, fetcher, config });
  };
  let updater = openWith(root, () => open(bounds.maxRootRotations));
  try {
    await updater.refresh().catch(async (error: unknown) => {
      if (!hasLastRoot) throw error;
      updater = open(0);
      await updater.refresh();
    });
    const found = await updater.getTargetInfo(target);
    if (!found) throw new Error(`it has no ${target}`);
    return await readFile(await updater.downloadTarget(found, join(directory, 'target')));
  } catch (error) {
    throw fault ? fault.error : refused(mirror, error);
  }
}

/** @throws CONFIG_INVALID if the root.json that is trusted already is none */
function openWith(root: string, open: () => Updater): Updater {
  try {
    return open();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw configInvalid(root, `it is no root of a repository of TUF: ${show(why, 500)}`, error);
  }
}

function isMissing(error: unknown): boolean {
  return hasCode(error, 'HTTP_STATUS') && [403, 404].includes(error.details.status);
}

async function writeScratch(path: string, bytes: Uint8Array): Promise<void> {
  await writeFile(path, bytes).catch((error: unknown) => {
    throw writeError(error, path);
  });
}

async function readMetadata(directory: string): Promise<ReadonlyMap<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for (const name of keptNames) {
    const bytes = await readKept(join(directory, name));
    if (bytes) found.set(name, bytes);
  }
  return found;
}

function isOther(one: ReadonlyMap<string, Buffer>, other: ReadonlyMap<string, Buffer>): boolean {
  const none = Buffer.alloc(0);
  return keptNames.some((name) => !(one.get(name) ?? none).equals(other.get(name) ?? none));
}

async function readKept(path: string): Promise<Buffer | undefined> {
  try {
    return await readFound(path, mebibyte);
  } catch (error) {
    if (isNoEntry(error)) return undefined;
    throw readError(error, path, show(path, 1000));
  }
}

/** Each file by itself was verified, and a later update goes on from any of them. */
async function keep(scratch: string, kept: string, before: ReadonlyMap<string, Buffer>): Promise<void> {
  for (const [name, bytes] of await readMetadata(scratch))
    if (before.get(name)?.equals(bytes) !== true) await writeKey(join(kept, name), bytes);
}

/** @param error - of the library, which has an own class for each reason and exports none. */
function refused(mirror: string, error: unknown): ImageError<'TRUSTED_ROOT_REFUSED'> {
  const why = error instanceof Error ? error.message : String(error);
  const message = `what ${showUrl(mirror)} says of the trusted root is not accepted: ${show(why, 500)}`;
  return new ImageError('TRUSTED_ROOT_REFUSED', message, { url: showUrl(mirror) }, { cause: error });
}
